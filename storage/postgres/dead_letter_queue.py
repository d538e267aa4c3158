"""Dead letters: entries that could not be used, stored whole, and the resubmission of their chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Select, Update, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.characters import is_blank
from operators.entries import Chunk
from operators.errors import ConflictError, NotFoundError
from operators.stream import Sentence
from storage.postgres.tables import dead_letters
from storage.records import DEFAULT_TEAM_ID
from storage.redis_log.event_log import NewEvent

LATE_REASON_PREFIX = "late:"
"""Prefix of the reason for a revision that arrived after its chunk was closed."""


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A dead letter.

    Attributes:
        log_id: the entry's id in its lane's log.
        reason: why the entry could not be used.
        fields: the fields of the entry, as they were read.
        resubmitted_at: when the letter was first resubmitted; None if it never was.
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
        """The kind of the entry; None if that is unknown."""
        kind = self.fields.get("kind")
        return (
            kind if kind in ("started", "chunk", "config", "speakers", "sentence", "moved", "ended", "tick") else None
        )

    @property
    def ordinal(self) -> int | None:
        """The entry's ordinal in its meeting; None if it has no valid one."""
        return self._number("n")

    @property
    def is_late_revision(self) -> bool:
        """Whether the entry revises a chunk that the meeting has, and that was closed when the entry arrived."""
        first, n = self._number("first"), self.ordinal
        return self.reason.startswith(LATE_REASON_PREFIX) and bool(first and n and first < n)

    def _number(self, name: str) -> int | None:
        number = str(self.fields.get(name, ""))
        # Python refuses to parse a number of thousands of digits.
        return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None


_COLUMNS = [dead_letters.c[field.name] for field in fields(DeadLetterRecord)]


async def list_dead_letters(
    conn: AsyncConnection, team_id: str, *, meeting_id: UUID | None = None, limit: int = 50, before: int | None = None
) -> list[DeadLetterRecord]:
    """List a team's dead letters, newest first.

    Args:
        meeting_id: return only letters of this meeting; None for all.
        limit: most letters to return.
        before: id of the last letter of the previous page.
    """
    rows = await conn.execute(_select_page(team_id, meeting_id, limit, before))
    return [DeadLetterRecord(**row) for row in rows.mappings()]


def _select_page(team_id: str, meeting_id: UUID | None, limit: int, before: int | None) -> Select[*tuple[Any, ...]]:
    statement = select(*_COLUMNS).where(_belongs_to(team_id)).order_by(dead_letters.c.id.desc()).limit(limit)
    if meeting_id is not None:
        statement = statement.where(dead_letters.c.meeting_id == meeting_id)
    if before is not None:
        statement = statement.where(dead_letters.c.id < before)
    return statement


async def read_dead_letter(conn: AsyncConnection, team_id: str, letter_id: int) -> DeadLetterRecord:
    """Read a dead letter of a team.

    Raises:
        NotFoundError: the team has no such letter.
    """
    row = (await conn.execute(_select_letter(team_id, letter_id))).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no dead letter {letter_id}")
    return DeadLetterRecord(**row)


def _select_letter(team_id: str, letter_id: int) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).where(_belongs_to(team_id), dead_letters.c.id == letter_id)


async def mark_resubmitted(conn: AsyncConnection, team_id: str, letter_id: int) -> DeadLetterRecord:
    """Record that a letter was resubmitted. The time of the first resubmission stays.

    Raises:
        NotFoundError: the team has no such letter.
    """
    statement = _set_resubmitted(team_id, letter_id).returning(*_COLUMNS)
    row = (await conn.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no dead letter {letter_id}")
    return DeadLetterRecord(**row)


def _set_resubmitted(team_id: str, letter_id: int) -> Update:
    now = func.coalesce(dead_letters.c.resubmitted_at, func.now())
    return update(dead_letters).where(_belongs_to(team_id), dead_letters.c.id == letter_id).values(resubmitted_at=now)


def to_resubmitted_event(letter: DeadLetterRecord) -> NewEvent:
    """Make the event that resubmits a letter's chunk. The same letter always gives the same event.

    The chunk retains its id, and becomes its newest revision. If the chunk is closed, the text is segmented separately, with its
    old times of speech. The closed chunk's sentences stay.

    Raises:
        ConflictError: the letter holds no chunk, an unreadable one, or a late one without text.
    """
    if letter.kind not in ("chunk", None):
        raise ConflictError("no_chunk", f"only a chunk can be resubmitted, and this is a {letter.kind}")
    try:
        chunk = Chunk.model_validate_json(str(letter.fields.get("payload", "")))
    except ValidationError:
        raise ConflictError(
            "unreadable", "its payload can't be read as a chunk; its fields show the payload as received"
        ) from None
    if letter.reason.startswith(LATE_REASON_PREFIX) and is_blank(chunk.text):
        raise ConflictError(
            "closed", "it would retract its chunk, which is closed; the chunk's sentences stay as they are"
        )
    chunk = chunk.model_copy(update={"resubmitted": True})
    return NewEvent(f"dead-{letter.id}", chunk)


def require_new_text(letter: DeadLetterRecord, chunk: Chunk, sentences: Iterable[Sentence]) -> None:
    """Check that resubmitting a letter doesn't add text that its chunk has already.

    A late revision can't change the sentences of its closed chunk. It only adds sentences.

    Args:
        letter: the letter.
        chunk: the letter's chunk.
        sentences: the sentences of its meeting, in reading order.

    Raises:
        ConflictError: the letter is a late revision, and sentences at its time have its text.
    """
    if not letter.is_late_revision:
        return
    texts: dict[tuple[str, str | None], str] = {}
    for sentence in sentences:
        if sentence.start <= chunk.end and sentence.end >= chunk.start:
            speaker = (sentence.speaker, sentence.speaker_id)
            texts[speaker] = texts.get(speaker, "") + _without_spaces(sentence.text)
    if any(_without_spaces(chunk.text) in text for text in texts.values()):
        raise ConflictError(
            "closed",
            "its chunk is closed, and the meeting has this text already; the chunk's speaker and sentences stay as they are",
        )


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def _belongs_to(team_id: str) -> ColumnElement[bool]:
    """Condition for letters of a team. Letters without a team belong to the default team, which owns the machine."""
    has_team_id = dead_letters.c.team_id == team_id
    return or_(has_team_id, dead_letters.c.team_id.is_(None)) if team_id == DEFAULT_TEAM_ID else has_team_id
