"""The sessions of connectors: each is a connection of Parley to a source's live stream of one meeting."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Boolean, Connection, RowMapping, bindparam, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import NotFoundError
from storage.postgres.tables import connector_sessions

SessionStatus = Literal["connecting", "connected", "reconnecting", "failed", "ended"]
CLOSED_SESSION_STATUSES: tuple[SessionStatus, ...] = ("failed", "ended")
SILENT_S = 30
"""Seconds without a heartbeat after which a session counts as one that no connector runs."""
SILENT_ERROR = f"the connector has not responded for more than {SILENT_S} seconds"
Gap = tuple[float, float | None]
"""Speech that may be missing: its start and end, in seconds from the meeting's start. The end is None while it is unknown."""

_INSERT = text(
    "insert into connector_sessions (id, team_id, source, external_id, meeting_id, encrypted_key, key_variable, options)"
    " values (:id, :team_id, :source, :external_id, :meeting_id, :encrypted_key, :key_variable, cast(:options as jsonb))"
    " on conflict (team_id, source, external_id) where status not in ('failed', 'ended') do nothing"
    " returning *, false as is_silent"
)
_IS_SILENT = connector_sessions.c.heartbeat_at < func.now() - timedelta(seconds=SILENT_S)
_SESSIONS = select(*connector_sessions.c, _IS_SILENT.label("is_silent"))
_OF_TEAM = _SESSIONS.where(connector_sessions.c.team_id == bindparam("team_id"))
_IS_OPEN = connector_sessions.c.status.not_in(CLOSED_SESSION_STATUSES)
_NEWEST_FIRST = (connector_sessions.c.created_at.desc(), connector_sessions.c.id.desc())
_BY_ID = _OF_TEAM.where(connector_sessions.c.id == bindparam("id"))
_OPEN = _SESSIONS.where(_IS_OPEN).order_by(connector_sessions.c.id)
_OPEN_BY_EXTERNAL_ID = _OF_TEAM.where(
    connector_sessions.c.source == bindparam("source"),
    connector_sessions.c.external_id == bindparam("external_id"),
    _IS_OPEN,
)
_LIST = (
    _OF_TEAM.where(or_(bindparam("all", type_=Boolean), _IS_OPEN)).order_by(*_NEWEST_FIRST).limit(bindparam("limit"))
)
_LATEST_BY_MEETING = (
    _OF_TEAM.distinct(connector_sessions.c.meeting_id)
    .where(connector_sessions.c.meeting_id.in_(bindparam("meeting_ids", expanding=True)))
    .order_by(connector_sessions.c.meeting_id, *_NEWEST_FIRST)
)
_HAS_WORK = text(
    "select exists (select from connector_sessions where status not in ('failed', 'ended'))"
    " or exists (select from source_imports where state in ('queued', 'running') and due_at <= now())"
    " or exists (select from source_import_runs where state in ('queued', 'running') and due_at <= now())"
    " or exists (select from source_notifications where outcome is null and due_at <= now())"
)
_SET_DESIRED = text("update connector_sessions set desired = :desired where team_id = :team_id and id = :id")
_SET_OPTIONS = text(
    "update connector_sessions set options = options || cast(:options as jsonb) where team_id = :team_id and id = :id"
)
_STORE_HEARTBEATS = text("update connector_sessions set heartbeat_at = now() where id = any(cast(:ids as uuid[]))")
_STORE_PROGRESS = text(
    "update connector_sessions set status = :status, counters = cast(:counters as jsonb), last_error = :last_error,"
    " gaps = cast(:gaps as jsonb), connected_at = cast(:connected_at as timestamptz),"
    " last_message_at = cast(:last_message_at as timestamptz),"
    " ended_at = case when :status in ('failed', 'ended') then coalesce(ended_at, now()) end,"
    " encrypted_key = case when :status in ('failed', 'ended') then null else encrypted_key end"
    " where id = :id"
)
_STORE_PROBLEM = text(
    "update connector_sessions set status = :status, last_error = :last_error,"
    " ended_at = case when :status in ('failed', 'ended') then coalesce(ended_at, now()) end,"
    " encrypted_key = case when :status in ('failed', 'ended') then null else encrypted_key end where id = :id"
)


@dataclass(frozen=True, slots=True)
class ConnectorSession:
    """A session of a connector.

    Attributes:
        source: the source's name, such as `fireflies`.
        external_id: the source's own id of the meeting.
        encrypted_key: the encrypted key of the source's API; None if `key_variable` names an environment variable, or
            if the session is over.
        options: the connector's options.
        desired: whether the connection shall exist.
        counters: number of messages by outcome, and of reconnects, gaps and requests.
        status: what the connector stored, or, without a heartbeat, that it is not connected.
        last_error: the last problem, in words for the user.
        gaps: speech that may be missing, because there was no connection.
    """

    id: UUID
    team_id: str
    source: str
    external_id: str
    meeting_id: UUID
    encrypted_key: str | None = field(repr=False)
    key_variable: str | None
    options: Mapping[str, Any]
    desired: Literal["connected", "disconnected"]
    status: SessionStatus
    counters: Mapping[str, int]
    last_error: str | None
    gaps: tuple[Gap, ...]
    connected_at: datetime | None
    last_message_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """The part of a session that its connector writes; see `ConnectorSession`."""

    status: SessionStatus
    counters: Mapping[str, int]
    last_error: str | None
    gaps: tuple[Gap, ...]
    connected_at: datetime | None
    last_message_at: datetime | None


async def create_session(
    conn: AsyncConnection,
    *,
    team_id: str,
    source: str,
    external_id: str,
    meeting_id: UUID,
    encrypted_key: str | None,
    key_variable: str | None,
    options: Mapping[str, Any],
) -> tuple[ConnectorSession, bool]:
    """Add a session. An open session of the same source and meeting stays as it is.

    Returns:
        The session, and whether it is new.
    """
    values = {
        "id": UUID(bytes=uuid7().bytes),
        "team_id": team_id,
        "source": source,
        "external_id": external_id,
        "meeting_id": meeting_id,
        "encrypted_key": encrypted_key,
        "key_variable": key_variable,
        "options": json.dumps(options),
    }
    row = (await conn.execute(_INSERT, values)).mappings().one_or_none()
    if row is not None:
        return _to_record(row), True
    keys = {"team_id": team_id, "source": source, "external_id": external_id}
    return _to_record((await conn.execute(_OPEN_BY_EXTERNAL_ID, keys)).mappings().one()), False


async def read_session(conn: AsyncConnection, team_id: str, session_id: UUID) -> ConnectorSession:
    """Read a session of a team.

    Raises:
        NotFoundError: the team has no such session.
    """
    row = (await conn.execute(_BY_ID, {"team_id": team_id, "id": session_id})).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no session {session_id}")
    return _to_record(row)


async def list_sessions(
    conn: AsyncConnection, team_id: str, *, include_closed: bool, limit: int
) -> list[ConnectorSession]:
    """List a team's sessions, newest first.

    Args:
        include_closed: whether to list failed and ended sessions as well.
        limit: most sessions to return.
    """
    parameters = {"team_id": team_id, "all": include_closed, "limit": limit}
    return [_to_record(row) for row in (await conn.execute(_LIST, parameters)).mappings()]


async def read_latest_sessions(
    conn: AsyncConnection, team_id: str, meeting_ids: Sequence[UUID]
) -> dict[UUID, ConnectorSession]:
    """Read the latest session of each of a team's meetings that has any, by the meeting's id."""
    parameters = {"team_id": team_id, "meeting_ids": list(meeting_ids)}
    records = [_to_record(row) for row in (await conn.execute(_LATEST_BY_MEETING, parameters)).mappings()]
    return {record.meeting_id: record for record in records}


async def list_open_sessions(conn: AsyncConnection) -> list[ConnectorSession]:
    """List the open sessions of all teams."""
    return [_to_record(row) for row in (await conn.execute(_OPEN)).mappings()]


async def find_open_session(
    conn: AsyncConnection, team_id: str, source: str, external_id: str
) -> ConnectorSession | None:
    """Find a team's open session of a meeting of a source; None if there is none."""
    keys = {"team_id": team_id, "source": source, "external_id": external_id}
    row = (await conn.execute(_OPEN_BY_EXTERNAL_ID, keys)).mappings().one_or_none()
    return None if row is None else _to_record(row)


def has_connector_work(connection: Connection) -> bool:
    """Return whether any team has an open session, or an import or a webhook of a source that is due."""
    return bool(connection.execute(_HAS_WORK).scalar_one())


async def set_desired(
    conn: AsyncConnection, team_id: str, session_id: UUID, desired: Literal["connected", "disconnected"]
) -> ConnectorSession:
    """Request that a session connects or disconnects.

    Raises:
        NotFoundError: the team has no such session.
    """
    await conn.execute(_SET_DESIRED, {"team_id": team_id, "id": session_id, "desired": desired})
    return await read_session(conn, team_id, session_id)


async def change_options(
    conn: AsyncConnection, team_id: str, session_id: UUID, options: Mapping[str, Any]
) -> ConnectorSession:
    """Change some options of a session. The others stay.

    Raises:
        NotFoundError: the team has no such session.
    """
    await conn.execute(_SET_OPTIONS, {"team_id": team_id, "id": session_id, "options": json.dumps(options)})
    return await read_session(conn, team_id, session_id)


async def store_progress(conn: AsyncConnection, session_id: UUID, progress: SessionProgress) -> None:
    """Store the progress that a connector reports of a session. The encrypted key of a session that is over is deleted."""
    await conn.execute(
        _STORE_PROGRESS,
        {
            "id": session_id,
            "status": progress.status,
            "counters": json.dumps(progress.counters),
            "last_error": progress.last_error,
            "gaps": json.dumps(progress.gaps),
            "connected_at": progress.connected_at,
            "last_message_at": progress.last_message_at,
        },
    )


async def store_heartbeats(conn: AsyncConnection, session_ids: Sequence[UUID]) -> None:
    """Record that a connector runs these sessions now."""
    await conn.execute(_STORE_HEARTBEATS, {"ids": list(session_ids)})


async def store_problem(conn: AsyncConnection, session_id: UUID, status: SessionStatus, last_error: str) -> None:
    """Store the problem of a session that its connector can't run. If the session failed, its encrypted key is deleted."""
    await conn.execute(_STORE_PROBLEM, {"id": session_id, "status": status, "last_error": last_error})


def _to_record(row: RowMapping) -> ConnectorSession:
    values = dict(row)
    values["gaps"] = tuple((start, end) for start, end in values["gaps"])
    del values["heartbeat_at"]
    if values.pop("is_silent") and values["status"] not in CLOSED_SESSION_STATUSES:
        # The row still has what the connector stored before it stopped.
        values["status"] = "reconnecting" if values["connected_at"] else "connecting"
        values["last_error"] = SILENT_ERROR
    return ConnectorSession(**values)
