"""Queries of meetings: each row has a meeting's configuration and progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, Select, Text, bindparam, cast, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import NotFoundError
from operators.meeting_config import Clock, MeetingConfig
from storage.postgres.tables import meetings
from storage.records import OPEN_STATUSES, MeetingRecord, MeetingStatus

_COLUMNS = [column for column in meetings.c if column.name != "state"]
_COLUMNS_WITHOUT_GLOSSARY = [
    *(column for column in _COLUMNS if column.name != "config"),
    meetings.c.config.op("-", return_type=JSONB())(
        cast(["glossary", "shared_glossary", "glossary_versions"], ARRAY(Text))
    ).label("config"),
]
_INSERT = insert(meetings).on_conflict_do_nothing().returning(*_COLUMNS)
_OF_TEAM = select(*_COLUMNS).where(meetings.c.team_id == bindparam("team_id"))
_BY_ID = _OF_TEAM.where(meetings.c.id == bindparam("meeting_id"))
_LOCK_BY_ID = _BY_ID.with_for_update()
_BY_EXTERNAL_ID = _OF_TEAM.where(meetings.c.external_id == bindparam("external_id"))
_OPEN = select(*_COLUMNS).where(meetings.c.status.in_(OPEN_STATUSES)).order_by(meetings.c.id)
# Parameters of an update must not have the names of columns.
_UPDATE_BY_ID = update(meetings).where(meetings.c.team_id == bindparam("of_team"), meetings.c.id == bindparam("of_id"))


async def create_meeting(
    conn: AsyncConnection,
    *,
    team_id: str,
    external_id: str | None,
    title: str,
    clock: Clock,
    config: MeetingConfig,
    lane_id: str,
) -> tuple[MeetingRecord, bool]:
    """Add a meeting. An existing meeting of the team with the same external id stays as it is.

    Returns:
        The meeting, and whether it is new.
    """
    values = {
        "id": UUID(bytes=uuid7().bytes),
        "team_id": team_id,
        "external_id": external_id,
        "title": title,
        "clock": clock.value,
        "config": config.model_dump(mode="json"),
        "lane_id": lane_id,
    }
    row = (await conn.execute(_INSERT, values)).mappings().one_or_none()
    if row is not None:
        return _to_record(row), True
    existing = await conn.execute(_BY_EXTERNAL_ID, {"team_id": team_id, "external_id": external_id})
    return _to_record(existing.mappings().one()), False


async def read_meeting(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, *, for_update: bool = False
) -> MeetingRecord:
    """Read a meeting of a team.

    Args:
        for_update: whether to lock the row until the transaction ends.

    Raises:
        NotFoundError: the team has no such meeting.
    """
    rows = await conn.execute(_LOCK_BY_ID if for_update else _BY_ID, {"team_id": team_id, "meeting_id": meeting_id})
    row = rows.mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no meeting {meeting_id}")
    return _to_record(row)


async def find_meeting(conn: AsyncConnection, team_id: str, external_id: str) -> MeetingRecord | None:
    """Find a team's meeting by the source's own id; None if there is none."""
    rows = await conn.execute(_BY_EXTERNAL_ID, {"team_id": team_id, "external_id": external_id})
    row = rows.mappings().one_or_none()
    return None if row is None else _to_record(row)


async def list_meetings(
    conn: AsyncConnection,
    team_id: str,
    *,
    statuses: Sequence[MeetingStatus] | None = None,
    limit: int = 50,
    before: UUID | None = None,
) -> list[MeetingRecord]:
    """List a team's meetings, newest first. Their configs lack the glossaries, which may be long.

    Args:
        statuses: return only meetings with these statuses; None for all.
        limit: most meetings to return.
        before: id of the last meeting of the previous page.
    """
    rows = await conn.execute(_select_page(team_id, statuses, limit, before))
    return [_to_record(row) for row in rows.mappings()]


def _select_page(
    team_id: str, statuses: Sequence[MeetingStatus] | None, limit: int, before: UUID | None
) -> Select[*tuple[Any, ...]]:
    statement = select(*_COLUMNS_WITHOUT_GLOSSARY).where(meetings.c.team_id == team_id)
    if statuses is not None:
        statement = statement.where(meetings.c.status.in_(statuses))
    if before is not None:
        last = select(meetings.c.created_at, meetings.c.id).where(
            meetings.c.team_id == team_id, meetings.c.id == before
        )
        statement = statement.where(tuple_(meetings.c.created_at, meetings.c.id) < last.scalar_subquery())
    return statement.order_by(meetings.c.created_at.desc(), meetings.c.id.desc()).limit(limit)


async def list_open_meetings(conn: AsyncConnection) -> list[MeetingRecord]:
    """List the open meetings of all teams, oldest first."""
    return [_to_record(row) for row in (await conn.execute(_OPEN)).mappings()]


async def update_meeting(conn: AsyncConnection, team_id: str, meeting_id: UUID, **values: Any) -> None:
    """Update columns of a team's meeting.

    Args:
        values: the new values, by column.

    Raises:
        NotFoundError: the team has no such meeting.
    """
    ids = {"of_team": team_id, "of_id": meeting_id}
    if (await conn.execute(_UPDATE_BY_ID.values(**values), ids)).rowcount == 0:
        raise NotFoundError(f"there is no meeting {meeting_id}")


def _to_record(row: RowMapping) -> MeetingRecord:
    return MeetingRecord.model_validate(dict(row))
