"""Imports of all transcripts of a source since a date. A run lists the transcripts page by page, and queues each import."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.meeting_config import MeetingConfig
from storage.postgres.source_accounts import StoredSecret
from storage.postgres.source_imports import ImportState

_ADD = text(
    "insert into source_import_runs (id, team_id, source, since, encrypted_key, key_variable, options, config)"
    " values (:id, :team_id, :source, :since, :encrypted_key, :key_variable, cast(:options as jsonb),"
    " cast(:config as jsonb))"
    " on conflict (team_id, source) where state in ('queued', 'running') do nothing returning *"
)
_LATEST = text(
    "select * from source_import_runs where team_id = :team_id and source = :source"
    " order by created_at desc, id desc limit 1"
)
_NEXT = text(
    "update source_import_runs set state = 'running', updated_at = now() where id = ("
    "select id from source_import_runs where source = :source and state in ('queued', 'running') and due_at <= now()"
    " order by due_at, id limit 1 for update skip locked) returning *"
)
_STORE_PAGE = text(
    "update source_import_runs set until = cast(:until as timestamptz), skip = :skip,"
    " listed_count = listed_count + :listed_count, queued_count = queued_count + :queued_count, attempts = 0,"
    " detail = null, updated_at = now(), state = :state, issue_count = issue_count + :issue_count,"
    " issues = issues || cast(:issues as jsonb),"
    " encrypted_key = case when :state = 'done' then null else encrypted_key end where id = :id"
)
_FAIL = text(
    "update source_import_runs set state = 'failed', detail = :detail, updated_at = now(), encrypted_key = null"
    " where id = :id"
)
_POSTPONE = text(
    "update source_import_runs set state = 'queued', detail = :detail, attempts = :attempts, updated_at = now(),"
    " due_at = now() + make_interval(secs => cast(:seconds as double precision)) where id = :id"
)


@dataclass(frozen=True, slots=True)
class ImportRun:
    """An import of all transcripts since a date.

    Attributes:
        since: earliest start of a meeting.
        until: latest start of a meeting that isn't listed yet; None for any.
        skip: number of transcripts before `until` that are listed.
        listed_count: number of transcripts listed so far.
        queued_count: number of imports queued so far. Transcripts that were imported before are not queued.
        issues: the first listed transcripts that can't be read, in words for the user.
        issue_count: number of all of them.
        key: the key of the source's API; empty if the team's account has it, or if the run is over.
        detail: why it waits or failed, in words for the user.
    """

    id: UUID
    team_id: str
    source: str
    since: datetime
    until: datetime | None
    skip: int
    listed_count: int
    queued_count: int
    issues: Sequence[str]
    issue_count: int
    key: StoredSecret
    options: Mapping[str, Any]
    config: MeetingConfig
    state: ImportState
    detail: str | None
    attempts: int
    due_at: datetime
    created_at: datetime
    updated_at: datetime


async def add_run(
    conn: AsyncConnection,
    *,
    team_id: str,
    source: str,
    since: datetime,
    key: StoredSecret,
    options: Mapping[str, Any],
    config: MeetingConfig,
) -> tuple[ImportRun, bool]:
    """Add a run. A run of the team that isn't over stays as it is.

    Returns:
        The run, and whether it is new.
    """
    values = {
        "id": UUID(bytes=uuid7().bytes),
        "team_id": team_id,
        "source": source,
        "since": since,
        "encrypted_key": key.encrypted,
        "key_variable": key.variable,
        "options": json.dumps(options),
        "config": config.model_dump_json(),
    }
    row = (await conn.execute(_ADD, values)).mappings().one_or_none()
    if row is not None:
        return _to_record(row), True
    return _to_record((await conn.execute(_LATEST, {"team_id": team_id, "source": source})).mappings().one()), False


async def read_latest_run(conn: AsyncConnection, team_id: str, source: str) -> ImportRun | None:
    """Read a team's latest run; None if there was none."""
    row = (await conn.execute(_LATEST, {"team_id": team_id, "source": source})).mappings().one_or_none()
    return None if row is None else _to_record(row)


async def start_next_run(conn: AsyncConnection, source: str) -> ImportRun | None:
    """Take the run that is due for longest, and mark it as running; None if none is due."""
    row = (await conn.execute(_NEXT, {"source": source})).mappings().one_or_none()
    return None if row is None else _to_record(row)


async def store_page(
    conn: AsyncConnection,
    run_id: UUID,
    *,
    until: datetime | None,
    skip: int,
    listed_count: int,
    queued_count: int,
    issues: Sequence[str],
    issue_count: int,
    state: Literal["running", "done"],
) -> None:
    """Store that a page was listed. With the last page, the run needs its encrypted key no more: it is deleted.

    Args:
        until: latest start of a meeting that isn't listed yet; None for any.
        skip: number of transcripts before `until` that are listed.
        listed_count: number of the page's transcripts.
        queued_count: number of imports that were queued for it.
        issues: transcripts of the page that can't be read, in words for the user; not necessarily all.
        issue_count: number of all of them.
        state: whether there are more pages.
    """
    await conn.execute(
        _STORE_PAGE,
        {
            "id": run_id,
            "until": until,
            "skip": skip,
            "listed_count": listed_count,
            "queued_count": queued_count,
            "issues": json.dumps(issues),
            "issue_count": issue_count,
            "state": state,
        },
    )


async def fail_run(conn: AsyncConnection, run_id: UUID, detail: str) -> None:
    """End a run that can't continue, with the cause. Its encrypted key is deleted."""
    await conn.execute(_FAIL, {"id": run_id, "detail": detail})


async def postpone_run(conn: AsyncConnection, run_id: UUID, *, seconds: float, attempts: int, detail: str) -> None:
    """Continue a run in so many seconds."""
    await conn.execute(_POSTPONE, {"id": run_id, "seconds": seconds, "attempts": attempts, "detail": detail})


def _to_record(row: RowMapping) -> ImportRun:
    values = dict(row)
    key = StoredSecret(values.pop("encrypted_key"), values.pop("key_variable"))
    config = MeetingConfig.model_validate(values.pop("config"))
    return ImportRun(**values, key=key, config=config)
