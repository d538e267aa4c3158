"""Dead letters: entries that could not be used, kept whole, and how what was said in them gets its second chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.characters import is_blank
from operators.errors import ConflictError, NotFoundError
from operators.model import Chunk
from storage.postgres.tables import dead_letters
from storage.records import DEFAULT_TEAM_ID
from storage.redis_log.event_log import NewEvent

LATE_REASON_PREFIX = "late:"
"""How the reason begins of a revision that came after its chunk was closed."""


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A dead letter. `fields` holds the entry as far as there was one, `reason` why it could not be used.

    `log_id` says where in its lane's log it was, `resubmitted_at` when what it holds was put in again.
    """

    id: int
    team_id: str | None
    meeting_id: UUID | None
    lane_id: str
    log_id: str
    reason: str
    fields: Mapping[str, Any]
    created_at: datetime
    resubmitted_at: datetime | None

    @property
    def kind(self) -> str | None:
        """What kind of entry it was; None where that can't be told."""
        kind = self.fields.get("kind")
        return kind if kind in ("started", "chunk", "config", "moved", "ended", "tick") else None

    @property
    def ordinal(self) -> int | None:
        """The ordinal that the entry had in its meeting; None where it had none that can be read."""
        n = str(self.fields.get("n", ""))
        # Python refuses to read a number of thousands of digits.
        return int(n) if n.isascii() and n.isdigit() and len(n) < 19 else None


_COLUMNS = [dead_letters.c[field.name] for field in fields(DeadLetterRecord)]


async def list_dead_letters(
    conn: AsyncConnection, team_id: str, *, meeting_id: UUID | None = None, limit: int = 50, before: int | None = None
) -> list[DeadLetterRecord]:
    """A team's dead letters, newest first.

    Args:
        meeting_id: only those of this meeting.
        before: the id of the last letter of the page before.
    """
    statement = select(*_COLUMNS).where(_belongs_to(team_id)).order_by(dead_letters.c.id.desc()).limit(limit)
    if meeting_id is not None:
        statement = statement.where(dead_letters.c.meeting_id == meeting_id)
    if before is not None:
        statement = statement.where(dead_letters.c.id < before)
    return [DeadLetterRecord(**row) for row in (await conn.execute(statement)).mappings()]


async def read_dead_letter(conn: AsyncConnection, team_id: str, letter_id: int) -> DeadLetterRecord:
    """One of a team's dead letters.

    Raises:
        NotFoundError: the team has no such letter.
    """
    statement = select(*_COLUMNS).where(_belongs_to(team_id), dead_letters.c.id == letter_id)
    row = (await conn.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no dead letter {letter_id}")
    return DeadLetterRecord(**row)


async def mark_resubmitted(conn: AsyncConnection, team_id: str, letter_id: int) -> DeadLetterRecord:
    """Note that what a letter holds was put in again. The first time counts.

    Raises:
        NotFoundError: the team has no such letter.
    """
    now = func.coalesce(dead_letters.c.resubmitted_at, func.now())
    statement = (
        update(dead_letters).where(_belongs_to(team_id), dead_letters.c.id == letter_id).values(resubmitted_at=now)
    )
    row = (await conn.execute(statement.returning(*_COLUMNS))).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no dead letter {letter_id}")
    return DeadLetterRecord(**row)


def to_resubmitted_event(letter: DeadLetterRecord) -> NewEvent:
    """What a letter holds, as an event to be resubmitted. The same letter makes the same event.

    A chunk keeps its id, and becomes the newest revision of it. One whose chunk is closed is read by itself, with its old times
    of speech, beside what its chunk had said before.

    Raises:
        Refused: it holds no chunk, one that can't be read, or a late one that says nothing.
    """
    if letter.kind not in ("chunk", None):
        raise ConflictError("no_chunk", f"only what was said can be put in again, and this is a {letter.kind}")
    try:
        chunk = Chunk.model_validate_json(str(letter.fields.get("payload", "")))
    except ValidationError:
        raise ConflictError(
            "unreadable", "what it holds can't be read as a chunk; its fields show it as it came"
        ) from None
    if letter.reason.startswith(LATE_REASON_PREFIX) and is_blank(chunk.text):
        raise ConflictError(
            "closed", "it would take its chunk back, which is closed; the chunk's sentences stay as they are"
        )
    chunk = chunk.model_copy(update={"resubmitted": True})
    return NewEvent(f"dead-{letter.id}", chunk)


def _belongs_to(team_id: str) -> ColumnElement[bool]:
    """Which letters are a team's. Those that name no team are whose machine it is: the default team's."""
    has_team_id = dead_letters.c.team_id == team_id
    return or_(has_team_id, dead_letters.c.team_id.is_(None)) if team_id == DEFAULT_TEAM_ID else has_team_id
