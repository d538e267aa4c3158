"""Imports of transcript files: their progress, and the events that are not appended to the log yet.

An import is stored whole before the request is answered, so a restart of any process loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import NotFoundError, OverloadedError
from operators.meeting_config import MeetingConfig
from operators.transcripts import ParsedTranscript, RecordedEvent

BATCH_COUNT = 200
"""Events of a batch."""
MAX_UNFINISHED = 100
"""Maximum number of a team's imports that are not finished."""
MAX_STORED_ISSUES = 1_000
"""Maximum number of issues that are stored with an import."""
RETRY_AFTER_S = 30
"""Seconds after which a team at its limit may try again to import."""

ImportStatus = Literal["queued", "running", "done", "failed"]

_BATCH_JSON = TypeAdapter(tuple[RecordedEvent, ...])

_INSERT = text(
    "insert into imports (id, team_id, fingerprint, name, format, title, config, began_at_ms, event_count, issues,"
    " issue_count, speakers, times_estimated) values (:id, :team_id, :fingerprint, :name, :format, :title, :config,"
    " :began_at_ms, :event_count, :issues, :issue_count, :speakers, :times_estimated)"
    " on conflict (team_id, fingerprint) do nothing returning id"
).bindparams(bindparam("config", type_=JSONB()), bindparam("issues", type_=JSONB()))
_INSERT_BATCH = text("insert into import_batches (import_id, first, events) values (:import_id, :first, :events)")
_SELECT_BY_ID = text("select * from imports where team_id = :team_id and id = :id")
_SELECT_BY_FINGERPRINT = text("select * from imports where team_id = :team_id and fingerprint = :fingerprint")
_SELECT_UNFINISHED = text("select * from imports where state in ('queued', 'running') order by created_at, id")
_COUNT_UNFINISHED = text("select count(*) from imports where team_id = :team_id and state in ('queued', 'running')")
_SELECT_UNFINISHED_MEETINGS = text(
    "select meeting_id from imports where state in ('queued', 'running') and meeting_id is not null"
    " union select meeting_id from source_imports where state in ('queued', 'running') and meeting_id is not null"
)
_SELECT_BATCH = text("select first, events from import_batches where import_id = :id order by first limit 1")
_SET_MEETING = text(
    "update imports set meeting_id = :meeting_id, state = 'running', detail = null, updated_at = now() where id = :id"
)
_DELETE_BATCH = text("delete from import_batches where import_id = :id and first = :first")
_SET_PROGRESS = text(
    "update imports set appended = :appended, detail = null, updated_at = now(),"
    " state = case when :appended >= event_count then 'done' else 'running' end where id = :id"
)
_SET_DETAIL = text(
    "update imports set detail = :detail, updated_at = now() where id = :id and detail is distinct from :detail"
)
_SET_FAILED = text("update imports set state = 'failed', detail = :detail, updated_at = now() where id = :id")
_DELETE_BATCHES = text("delete from import_batches where import_id = :id")


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """An import.

    Attributes:
        fingerprint: identifies the content and the options.
        name: the file's name.
        format: the file's format.
        began_at_ms: start of the meeting, in ms since the epoch.
        meeting_id: the meeting; None until it is open.
        event_count: number of the file's events.
        appended: number of the events that the log has accepted.
        issues: the first issues of the file, each with its place and message.
        issue_count: number of all issues.
        speakers: the reliability of the speakers.
        times_estimated: whether some times were estimated.
        detail: why the import waits, or why it failed; None if neither.
    """

    id: UUID
    team_id: str
    fingerprint: str
    state: ImportStatus
    name: str
    format: str
    title: str
    config: MeetingConfig
    began_at_ms: int
    meeting_id: UUID | None
    event_count: int
    appended: int
    issues: list[dict[str, Any]]
    issue_count: int
    speakers: str
    times_estimated: bool
    detail: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """Events of an import that are not appended yet. `first` is the number of the first one, from 0."""

    first: int
    events: tuple[RecordedEvent, ...]


async def add_import(
    conn: AsyncConnection,
    team_id: str,
    transcript: ParsedTranscript,
    *,
    fingerprint: str,
    name: str,
    title: str,
    config: MeetingConfig,
    began_at_ms: int,
) -> tuple[ImportRecord, bool]:
    """Store an import with its events. An existing import of the team with the same fingerprint stays as it is.

    Args:
        team_id: the team.
        transcript: the content of the file.
        fingerprint: identifies the content and the options.
        name: the file's name.
        title, config, began_at_ms: of the meeting.

    Returns:
        The import, and whether it is new.

    Raises:
        OverloadedError: the team has too many imports that are not finished.
    """
    key = {"team_id": team_id, "fingerprint": fingerprint}
    if (existing := (await conn.execute(_SELECT_BY_FINGERPRINT, key)).mappings().one_or_none()) is not None:
        return _to_record(existing), False
    if (await conn.execute(_COUNT_UNFINISHED, {"team_id": team_id})).scalar_one() >= MAX_UNFINISHED:
        raise OverloadedError(
            "limit", f"no more than {MAX_UNFINISHED} imports at once: wait until some are done", RETRY_AFTER_S
        )
    import_id = UUID(bytes=uuid7().bytes)
    values = key | {
        "id": import_id,
        "name": name,
        "format": transcript.format.value,
        "title": title,
        "config": config.model_dump(mode="json"),
        "began_at_ms": began_at_ms,
        "event_count": len(transcript.events),
        "issues": [issue._asdict() for issue in transcript.issues[:MAX_STORED_ISSUES]],
        "issue_count": len(transcript.issues),
        "speakers": transcript.attribution.value,
        "times_estimated": transcript.times_estimated,
    }
    is_new = (await conn.execute(_INSERT, values)).one_or_none() is not None
    if is_new:
        await conn.execute(_INSERT_BATCH, list(_batch_rows(import_id, transcript.events)))
    return _to_record((await conn.execute(_SELECT_BY_FINGERPRINT, key)).mappings().one()), is_new


async def read_import(conn: AsyncConnection, team_id: str, import_id: UUID) -> ImportRecord:
    """Read an import of a team.

    Raises:
        NotFoundError: the team has no such import.
    """
    row = (await conn.execute(_SELECT_BY_ID, {"team_id": team_id, "id": import_id})).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no import {import_id}")
    return _to_record(row)


async def list_unfinished_imports(conn: AsyncConnection) -> list[ImportRecord]:
    """List the imports of all teams that are neither done nor failed, oldest first."""
    return [_to_record(row) for row in (await conn.execute(_SELECT_UNFINISHED)).mappings()]


async def list_unfinished_meetings(conn: AsyncConnection) -> set[UUID]:
    """List the meetings whose imports, from files or from a source, are neither done nor failed."""
    return set((await conn.execute(_SELECT_UNFINISHED_MEETINGS)).scalars())


async def read_next_batch(conn: AsyncConnection, import_id: UUID) -> ImportBatch | None:
    """Read the first batch of an import that is not appended yet; None if there is none."""
    row = (await conn.execute(_SELECT_BATCH, {"id": import_id})).one_or_none()
    return None if row is None else ImportBatch(row.first, _BATCH_JSON.validate_json(row.events))


async def set_meeting(conn: AsyncConnection, import_id: UUID, meeting_id: UUID) -> None:
    """Record the meeting of an import, which runs from now on."""
    await conn.execute(_SET_MEETING, {"id": import_id, "meeting_id": meeting_id})


async def finish_batch(conn: AsyncConnection, import_id: UUID, batch: ImportBatch) -> None:
    """Record that the log has accepted a batch. After the last one the import is done."""
    await conn.execute(_DELETE_BATCH, {"id": import_id, "first": batch.first})
    await conn.execute(_SET_PROGRESS, {"id": import_id, "appended": batch.first + len(batch.events)})


async def set_waiting(conn: AsyncConnection, import_id: UUID, detail: str) -> None:
    """Record why an import waits."""
    await conn.execute(_SET_DETAIL, {"id": import_id, "detail": detail})


async def fail_import(conn: AsyncConnection, import_id: UUID, detail: str) -> None:
    """Record why an import failed, and delete the events that it would have appended."""
    await conn.execute(_SET_FAILED, {"id": import_id, "detail": detail})
    await conn.execute(_DELETE_BATCHES, {"id": import_id})


def _batch_rows(import_id: UUID, events: Sequence[RecordedEvent]) -> Iterator[dict[str, Any]]:
    for first in range(0, len(events), BATCH_COUNT):
        batch = tuple(events[first : first + BATCH_COUNT])
        yield {"import_id": import_id, "first": first, "events": _BATCH_JSON.dump_json(batch).decode()}


def _to_record(row: RowMapping) -> ImportRecord:
    values = {field.name: row[field.name] for field in fields(ImportRecord)}
    values["config"] = MeetingConfig.model_validate(values["config"])
    return ImportRecord(**values)
