"""Recorded meetings end by their importer's word. One that died says nothing: its lease runs out, and its meeting ends."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import Refused
from operators.model import Clock
from storage.log import LEASE_MS, Log
from storage.meetings import Meetings, open_meetings

log = structlog.get_logger(__name__)


class LeaseExpiry:
    """Ends recorded meetings whose lease has run out.

    Args:
        engine: the database.
        door: the log's door, which renews the leases.
        meetings: the service that ends meetings.
    """

    def __init__(self, engine: AsyncEngine, log: Log, meetings: Meetings) -> None:
        self._engine, self._log, self._meetings = engine, log, meetings
        self._lost: dict[UUID, int] = {}
        """When it was first seen that Redis had lost a meeting, and its lease (ms)."""

    async def run_once(self, now_ms: int) -> int:
        """Look once at every open recorded meeting.

        Args:
            now_ms: Redis' own time.

        Returns:
            How many were ended.

        Raises:
            Unavailable: the log can't be reached.
        """
        async with self._engine.connect() as connection:
            recorded = [m for m in await open_meetings(connection) if m.clock is Clock.RECORDED]
        open_ids = {meeting.id for meeting in recorded}
        self._lost = {meeting_id: since for meeting_id, since in self._lost.items() if meeting_id in open_ids}
        ended = 0
        for meeting in recorded:
            info = await self._log.info(str(meeting.id))
            if info is None:
                # An importer that lives opens the meeting again with its next call: it gets a whole lease for that.
                lease = self._lost.setdefault(meeting.id, now_ms) + LEASE_MS
            else:
                self._lost.pop(meeting.id, None)
                # One that takes nothing more is over as soon as its lane has come that far.
                lease = info.lease_until if info.status in ("open", "paused") else None
            if lease is None or lease >= now_ms:
                continue
            try:
                await self._meetings.end(meeting.team_id, meeting.id, "its importer went silent")
            except Refused:
                continue
            ended += 1
            log.warning("lease ran out", meeting=str(meeting.id))
        return ended
