"""Imports of a source's transcripts: one row for each transcript, with the state of its latest import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import NotFoundError
from operators.meeting_config import MeetingConfig
from storage.postgres.source_accounts import StoredSecret

ImportState = Literal["queued", "running", "done", "failed"]

_QUEUE = text(
    "insert into source_imports (id, team_id, source, external_id, title, encrypted_key, key_variable, options, config)"
    " values (:id, :team_id, :source, :external_id, :title, :encrypted_key, :key_variable, cast(:options as jsonb),"
    " cast(:config as jsonb)) on conflict (team_id, source, external_id) do update"
    " set state = 'queued', detail = null, attempts = 0, due_at = now(), updated_at = now(),"
    " encrypted_key = excluded.encrypted_key, key_variable = excluded.key_variable, options = excluded.options,"
    " config = excluded.config"
    " where source_imports.state = 'failed' or (:again and source_imports.state = 'done') returning *"
)
_BY_EXTERNAL_ID = text(
    "select * from source_imports where team_id = :team_id and source = :source and external_id = :external_id"
)
_LIST = text(
    "select * from source_imports where team_id = :team_id and source = :source and state = :state"
    " order by updated_at desc, id desc limit :limit"
)
_COUNT = text("select state, count(*) from source_imports where team_id = :team_id and source = :source group by state")
_RETRY_FAILED = text(
    "update source_imports set state = 'queued', detail = null, attempts = 0, due_at = now(), updated_at = now()"
    " where team_id = :team_id and source = :source and state = 'failed'"
)
_RESET = text(
    "update source_imports set state = 'queued', detail = null, attempts = 0, due_at = now(), updated_at = now()"
    " where team_id = :team_id and source = :source and external_id = :external_id and state <> 'running'"
)
_NEXT = text(
    "update source_imports set state = 'running', updated_at = now() where id = ("
    "select id from source_imports where source = :source and state = 'queued' and due_at <= now()"
    " order by due_at, id limit 1 for update skip locked) returning *"
)
_REQUEUE_RUNNING = text("update source_imports set state = 'queued' where source = :source and state = 'running'")
_STORE_PROGRESS = text(
    "update source_imports set meeting_id = :meeting_id, title = :title, appended_count = :appended_count,"
    " total_count = :total_count, invalid_count = :invalid_count, updated_at = now() where id = :id"
)
_FINISH = text(
    "update source_imports set state = :state, detail = :detail, updated_at = now(),"
    " encrypted_key = case when :state = 'done' then null else encrypted_key end where id = :id"
)
_POSTPONE = text(
    "update source_imports set state = 'queued', detail = :detail, attempts = :attempts, updated_at = now(),"
    " due_at = now() + make_interval(secs => cast(:seconds as double precision)) where id = :id"
)


@dataclass(frozen=True, slots=True)
class SourceImport:
    """An import of a transcript.

    Attributes:
        external_id: the source's own id of the transcript.
        meeting_id: the meeting that it became; None before that.
        key: the key of the source's API; empty if the team's account has it, or if an encrypted key was deleted.
        options: options of the connector; empty if the team's account has them.
        config: the meeting's config.
        detail: why it waits, failed, or did not add text, in words for the user.
        attempts: number of failed attempts.
        appended_count: number of sentences that are in the log.
        total_count: number of the transcript's sentences; None before it was read.
        invalid_count: number of sentences that can't be read.
        due_at: when its next attempt is due.
    """

    id: UUID
    team_id: str
    source: str
    external_id: str
    title: str
    meeting_id: UUID | None
    key: StoredSecret
    options: Mapping[str, Any]
    config: MeetingConfig
    state: ImportState
    detail: str | None
    attempts: int
    appended_count: int
    total_count: int | None
    invalid_count: int
    due_at: datetime
    created_at: datetime
    updated_at: datetime


async def queue_import(
    conn: AsyncConnection,
    *,
    team_id: str,
    source: str,
    external_id: str,
    config: MeetingConfig,
    title: str = "",
    key: StoredSecret | None = None,
    options: Mapping[str, Any] | None = None,
    repeat: bool = False,
) -> tuple[SourceImport, bool]:
    """Queue an import. One that waits, runs or is done stays as it is; a failed one is tried again.

    Args:
        repeat: whether an import that is done is done again, to refresh what is kept beside the transcript.

    Returns:
        The import, and whether it was queued now.
    """
    secret = key or StoredSecret()
    values = {
        "id": UUID(bytes=uuid7().bytes),
        "team_id": team_id,
        "source": source,
        "external_id": external_id,
        "title": title,
        "encrypted_key": secret.encrypted,
        "key_variable": secret.variable,
        "options": json.dumps(options or {}),
        "config": config.model_dump_json(),
        "again": repeat,
    }
    row = (await conn.execute(_QUEUE, values)).mappings().one_or_none()
    if row is not None:
        return _to_record(row), True
    return await read_import(conn, team_id, source, external_id), False


async def read_import(conn: AsyncConnection, team_id: str, source: str, external_id: str) -> SourceImport:
    """Read the import of a transcript.

    Raises:
        NotFoundError: the transcript was never imported.
    """
    keys = {"team_id": team_id, "source": source, "external_id": external_id}
    row = (await conn.execute(_BY_EXTERNAL_ID, keys)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no import of {external_id}")
    return _to_record(row)


async def list_imports(
    conn: AsyncConnection, team_id: str, source: str, state: ImportState, limit: int
) -> list[SourceImport]:
    """List a team's imports in a state, the latest change first."""
    parameters = {"team_id": team_id, "source": source, "state": state, "limit": limit}
    return [_to_record(row) for row in (await conn.execute(_LIST, parameters)).mappings()]


async def count_imports(conn: AsyncConnection, team_id: str, source: str) -> dict[ImportState, int]:
    """Count a team's imports by their state."""
    counts: dict[ImportState, int] = {"queued": 0, "running": 0, "done": 0, "failed": 0}
    for state, count in await conn.execute(_COUNT, {"team_id": team_id, "source": source}):
        counts[state] = count
    return counts


async def retry_failed_imports(conn: AsyncConnection, team_id: str, source: str) -> int:
    """Queue all failed imports of a team again, and return their number."""
    return (await conn.execute(_RETRY_FAILED, {"team_id": team_id, "source": source})).rowcount


async def reset_import(conn: AsyncConnection, team_id: str, source: str, external_id: str) -> SourceImport:
    """Queue an import again, whatever its state. One that runs stays as it is.

    Raises:
        NotFoundError: the transcript was never imported.
    """
    await conn.execute(_RESET, {"team_id": team_id, "source": source, "external_id": external_id})
    return await read_import(conn, team_id, source, external_id)


async def requeue_running_imports(conn: AsyncConnection, source: str) -> None:
    """Queue the imports of a source that an earlier process was running."""
    await conn.execute(_REQUEUE_RUNNING, {"source": source})


async def start_next_import(conn: AsyncConnection, source: str) -> SourceImport | None:
    """Take the import that is due for longest, and mark it as running; None if none is due."""
    row = (await conn.execute(_NEXT, {"source": source})).mappings().one_or_none()
    return None if row is None else _to_record(row)


async def store_import_progress(
    conn: AsyncConnection,
    import_id: UUID,
    *,
    meeting_id: UUID | None,
    title: str,
    appended_count: int,
    total_count: int,
    invalid_count: int,
) -> None:
    """Store how far a running import is."""
    await conn.execute(
        _STORE_PROGRESS,
        {
            "id": import_id,
            "meeting_id": meeting_id,
            "title": title,
            "appended_count": appended_count,
            "total_count": total_count,
            "invalid_count": invalid_count,
        },
    )


async def finish_import(
    conn: AsyncConnection, import_id: UUID, state: Literal["done", "failed"], detail: str | None
) -> None:
    """End a running import. One that is done needs its encrypted key no more: it is deleted.

    A failed import keeps its key, because it can be tried again.

    Args:
        detail: why it failed, or why it added no text; None if there is nothing to say.
    """
    await conn.execute(_FINISH, {"id": import_id, "state": state, "detail": detail})


async def postpone_import(
    conn: AsyncConnection, import_id: UUID, *, seconds: float, attempts: int, detail: str
) -> None:
    """Queue a running import again, to be tried in so many seconds."""
    parameters = {"id": import_id, "seconds": seconds, "attempts": attempts, "detail": detail}
    await conn.execute(_POSTPONE, parameters)


def _to_record(row: RowMapping) -> SourceImport:
    values = dict(row)
    key = StoredSecret(values.pop("encrypted_key"), values.pop("key_variable"))
    config = MeetingConfig.model_validate(values.pop("config"))
    return SourceImport(**values, key=key, config=config)
