"""Recorded meetings end by their importer's word. One that died says nothing: its lease runs out, and its meeting ends."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import Refused
from operators.model import Clock
from storage.log import Log
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
        if info is None or info.status == "ended" or info.lease_until is None or info.lease_until >= now_ms:
            continue
        try:
            await meetings.end(meeting.team_id, meeting.id, "its importer went silent")
        except Refused:
            continue
        ended += 1
        log.warning("lease ran out", meeting=str(meeting.id))
    return ended
