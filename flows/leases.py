"""Recorded meetings end by their importer's word. One that died says nothing: its lease runs out, and its meeting ends."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import Refused
from operators.model import Clock
from storage.log import LEASE_MS, Log
from storage.meetings import Meetings, open_meetings

log = structlog.get_logger(__name__)


async def end_expired(engine: AsyncEngine, door: Log, meetings: Meetings, now_ms: int) -> int:
    """End every open recorded meeting whose lease has run out.

    Args:
        now_ms: Redis' own time.

    Returns:
        How many were ended.
    """
    async with engine.connect() as connection:
        recorded = [m for m in await open_meetings(connection) if m.clock is Clock.RECORDED]
    ended = 0
    for meeting in recorded:
        info = await door.info(str(meeting.id))
        # Redis may have lost the meeting, and with it the lease: that runs from the meeting's creation then.
        lease = meeting.created_at.timestamp() * 1000 + LEASE_MS if info is None else info.lease_until
        if lease is None or lease >= now_ms or (info is not None and info.status == "ended"):
            continue
        try:
            await meetings.end(meeting.team_id, meeting.id, "its importer went silent")
        except Refused:
            continue
        ended += 1
        log.warning("lease ran out", meeting=str(meeting.id))
    return ended
