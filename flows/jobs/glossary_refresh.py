"""The glossary refresh: brings changes of a team's glossaries to the open meetings to which they are attached.

It compares versions, so that no crash, outage or lagging lane loses a change.
"""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.glossaries.glossary_queries import find_outdated_meetings
from storage.ingest.meeting_configs import MeetingConfigs

log = structlog.get_logger(__name__)


async def refresh_glossaries(database: AsyncEngine, configs: MeetingConfigs) -> int:
    """Refresh the meetings whose terms are outdated. One that fails concerns no other.

    Args:
        database: the database.
        configs: changes the configs.

    Returns:
        The number of meetings whose config changed.
    """
    async with database.connect() as conn:
        meetings = await find_outdated_meetings(conn)
    changed_count = 0
    for team_id, meeting_id in meetings:
        try:
            changed_count += await configs.refresh_glossaries(team_id, meeting_id)
        except Exception as error:  # noqa: BLE001 - an unreadable meeting must not keep the others from their terms
            log.warning("glossary not refreshed", meeting=str(meeting_id), error=type(error).__name__)
    return changed_count
