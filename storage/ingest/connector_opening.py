"""Opens the sessions of connectors, each with its meeting, and the meetings of imports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import ConflictError
from operators.meeting_config import Clock, MeetingConfig
from storage.ingest.meeting_service import MeetingService
from storage.postgres import connector_sessions
from storage.postgres.connector_sessions import ConnectorSession
from storage.postgres.source_accounts import StoredSecret
from storage.records import MeetingRecord

MAX_MEETING_COUNT = 100
"""Maximum number of meetings of Parley for one meeting of a source."""


async def open_source_meeting(
    meetings: MeetingService,
    team_id: str,
    source: str,
    external_id: str,
    *,
    is_usable: Callable[[MeetingRecord], Awaitable[bool]],
    title: str,
    clock: Clock,
    config: MeetingConfig,
    at_ms: int | None = None,
    max_live: int | None = None,
) -> tuple[MeetingRecord, bool]:
    """Open the meeting of a source's meeting. If that one isn't usable, a further one is opened.

    The meetings' external ids are `fireflies:ID`, then `fireflies:ID:2` and so on.

    Args:
        source: the source's name.
        external_id: the source's own id of the meeting.
        is_usable: whether an existing meeting can be used.
        title: the title of a new meeting.
        clock: the clock of a new meeting.
        config: the config of a new meeting.
        at_ms: start of a recording (ms).
        max_live: most live meetings that the team may have at once; None for no limit.

    Returns:
        The meeting, and whether it is new.

    Raises:
        ConflictError: there are too many meetings already.
        OverloadedError: the team has reached its limit of live meetings.
        UnavailableError: there is no lane, or the log can't accept entries at the moment.
    """
    for number in range(1, MAX_MEETING_COUNT + 1):
        name = f"{source}:{external_id}" + (f":{number}" if number > 1 else "")
        record, is_new = await meetings.open(
            team_id, external_id=name, title=title, clock=clock, config=config, at_ms=at_ms, max_live=max_live
        )
        if is_new or await is_usable(record):
            return record, is_new
    raise ConflictError("too_many", f"there are {MAX_MEETING_COUNT} meetings of this transcript already")


async def open_session(
    database: AsyncEngine,
    meetings: MeetingService,
    team_id: str,
    source: str,
    external_id: str,
    *,
    key: StoredSecret,
    options: Mapping[str, Any],
    config: MeetingConfig,
    title: str,
    max_live: int | None = None,
) -> tuple[ConnectorSession, bool]:
    """Open a session with its live meeting. An open session of the same meeting stays as it is.

    If the meeting of an earlier session is over, a further meeting is opened.

    Args:
        key: the key of the source's API.
        options: the connector's options.
        config: the config of a new meeting.
        title: the title of a new meeting.
        max_live: most live meetings that the team may have at once; None for no limit.

    Returns:
        The session, and whether it is new.

    Raises:
        OverloadedError: the team has reached its limit of live meetings.
        UnavailableError: there is no lane, or the log can't accept entries at the moment.
    """
    async with database.connect() as conn:
        existing = await connector_sessions.find_open_session(conn, team_id, source, external_id)
    if existing is not None:
        return existing, False
    meeting, _ = await open_source_meeting(
        meetings,
        team_id,
        source,
        external_id,
        is_usable=_is_live,
        title=title,
        clock=Clock.LIVE,
        config=config,
        max_live=max_live,
    )
    async with database.begin() as conn:
        return await connector_sessions.create_session(
            conn,
            team_id=team_id,
            source=source,
            external_id=external_id,
            meeting_id=meeting.id,
            encrypted_key=key.encrypted,
            key_variable=key.variable,
            options=options,
        )


async def _is_live(record: MeetingRecord) -> bool:
    return record.clock is Clock.LIVE and record.status not in ("ended", "failed")
