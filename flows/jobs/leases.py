"""Lease expiry: ends recorded meetings whose importer died.

An importer ends its meeting itself, and each of its calls renews the meeting's lease. The lease of a dead importer expires.
An import whose events are stored needs no lease: it continues after a restart.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import ConflictError
from operators.meeting_config import Clock
from storage.ingest.meeting_service import MeetingService
from storage.postgres.meeting_queries import list_open_meetings
from storage.postgres.transcript_imports import list_unfinished_meetings
from storage.redis_log.event_log import LEASE_MS, LogWriter

log = structlog.get_logger(__name__)


class LeaseExpiry:
    """Ends recorded meetings whose lease has expired.

    Args:
        engine: the database.
        log_writer: the ingest API of the log, which renews the leases.
        meetings: the service that ends meetings.
    """

    def __init__(self, engine: AsyncEngine, log_writer: LogWriter, meetings: MeetingService) -> None:
        self._engine, self._log_writer, self._meetings = engine, log_writer, meetings
        self._lost: dict[UUID, int] = {}
        """The time at which each meeting was first found lost in Redis, together with its lease (ms)."""

    async def run_once(self, now_ms: int) -> int:
        """Check every open recorded meeting once.

        Args:
            now_ms: Redis' time, in milliseconds.

        Returns:
            The number of meetings ended.

        Raises:
            UnavailableError: the log can't be reached.
        """
        async with self._engine.connect() as connection:
            imported = await list_unfinished_meetings(connection)
            recorded = [
                m for m in await list_open_meetings(connection) if m.clock is Clock.RECORDED and m.id not in imported
            ]
        open_ids = {meeting.id for meeting in recorded}
        self._lost = {meeting_id: since for meeting_id, since in self._lost.items() if meeting_id in open_ids}
        ended = 0
        for meeting in recorded:
            info = await self._log_writer.read_state(str(meeting.id))
            if info is None:
                # A live importer's next call opens the meeting again. It gets a full lease to make that call.
                lease_until = self._lost.setdefault(meeting.id, now_ms) + LEASE_MS
            else:
                self._lost.pop(meeting.id, None)
                # A meeting that accepts no more entries ends as soon as its lane has processed the last one.
                lease_until = info.lease_until_ms if info.status in ("open", "paused") else None
            if lease_until is None or lease_until >= now_ms:
                continue
            try:
                await self._meetings.end(meeting.team_id, meeting.id, "its importer went silent")
            except ConflictError:
                continue
            ended += 1
            log.warning("lease expired", meeting=str(meeting.id))
        return ended
