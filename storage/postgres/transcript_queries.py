"""Queries of a meeting's sentences, captions and live events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    RowMapping,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import InvalidInputError, NotFoundError
from operators.stream import Sentence, SentenceBoundary
from operators.translation_requests import CaptionStatus
from storage.postgres import tables
from storage.postgres.outbox import SELECT_EVENTS_AFTER
from storage.records import Caption, OutboxEvent

SENTENCE_COLUMNS: list[ColumnElement[Any]] = [
    *(tables.sentences.c[field.name] for field in fields(Sentence) if field.name != "corrected"),
    tables.sentences.c.original_text.is_not(None).label("corrected"),
]
"""The columns of a `Sentence`."""
_CAPTION_COLUMNS = [tables.captions.c[field.name] for field in fields(Caption)]


def _numbers_of_id(sentence_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Extract the numbers of an id as an array for sorting: `10` sorts after `9`, and `9.2` between them."""
    spaced = func.btrim(func.regexp_replace(sentence_id, r"\D+", " ", "g"))
    return cast(func.string_to_array(spaced, " "), ARRAY(BigInteger))


_READING_ORDER = (tables.sentences.c.start, _numbers_of_id(tables.sentences.c.id))
_SENTENCES = (
    select(*SENTENCE_COLUMNS)
    .where(
        tables.sentences.c.team_id == bindparam("team_id"),
        tables.sentences.c.meeting_id == bindparam("meeting_id"),
        ~tables.sentences.c.retracted,
    )
    .order_by(*_READING_ORDER)
)
_CURSOR = tables.sentences.alias("cursor")
_CURSOR_PLACE = select(_CURSOR.c.start, _numbers_of_id(_CURSOR.c.id)).where(
    _CURSOR.c.team_id == bindparam("team_id"),
    _CURSOR.c.meeting_id == bindparam("meeting_id"),
    _CURSOR.c.id == bindparam("after", type_=Text),
)
_SENTENCE_PAGE = _SENTENCES.where(
    tables.sentences.c.end >= bindparam("from_s", type_=Float),
    tables.sentences.c.start <= bindparam("until_s", type_=Float),
    or_(
        bindparam("after", type_=Text).is_(None),
        tuple_(*_READING_ORDER) > _CURSOR_PLACE.scalar_subquery(),
    ),
).limit(bindparam("limit", type_=Integer))
_SENTENCE = select(*SENTENCE_COLUMNS).where(
    tables.sentences.c.team_id == bindparam("team_id"),
    tables.sentences.c.meeting_id == bindparam("meeting_id"),
    tables.sentences.c.id == bindparam("sentence_id"),
    ~tables.sentences.c.retracted,
)
_CAPTIONS = (
    select(*_CAPTION_COLUMNS)
    .select_from(tables.captions.join(tables.sentences))
    .where(
        tables.captions.c.team_id == bindparam("team_id"),
        tables.captions.c.meeting_id == bindparam("meeting_id"),
        ~tables.sentences.c.retracted,
    )
    .order_by(*_READING_ORDER, tables.captions.c.language)
)
_CAPTIONS_IN_LANGUAGE = _CAPTIONS.where(tables.captions.c.language == bindparam("language"))
_CAPTIONS_OF_SENTENCES = _CAPTIONS_IN_LANGUAGE.where(
    tables.captions.c.sentence_id.in_(bindparam("sentence_ids", expanding=True))
)
_COUNT_PENDING = (
    select(tables.captions.c.meeting_id, func.count())
    .select_from(tables.captions.join(tables.sentences))
    .where(
        tables.captions.c.team_id == bindparam("team_id"),
        tables.captions.c.meeting_id.in_(bindparam("meeting_ids", expanding=True)),
        tables.captions.c.status == "pending",
        ~tables.sentences.c.retracted,
    )
    .group_by(tables.captions.c.meeting_id)
)
_FINAL_CAPTIONS = select(tables.captions.c.meeting_id, tables.captions.c.sentence_id).where(
    tables.captions.c.meeting_id.in_(bindparam("meeting_ids", expanding=True)), tables.captions.c.status != "pending"
)
_EVENTS_OF_TEAM = SELECT_EVENTS_AFTER.where(tables.outbox.c.team_id == bindparam("team_id"))
_LAST_SEQ = select(tables.meetings.c.seq).where(
    tables.meetings.c.team_id == bindparam("team_id"), tables.meetings.c.id == bindparam("meeting_id")
)


async def read_sentences(conn: AsyncConnection, team_id: str, meeting_id: UUID) -> list[Sentence]:
    """Read a meeting's sentences in reading order. Retracted ones are left out."""
    rows = await conn.execute(_SENTENCES, {"team_id": team_id, "meeting_id": meeting_id})
    return [to_sentence(row) for row in rows.mappings()]


async def read_sentence(conn: AsyncConnection, team_id: str, meeting_id: UUID, sentence_id: str) -> Sentence:
    """Read a sentence of a team's meeting.

    Raises:
        NotFoundError: the meeting has no such sentence, or it was retracted.
    """
    values = {"team_id": team_id, "meeting_id": meeting_id, "sentence_id": sentence_id}
    row = (await conn.execute(_SENTENCE, values)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("the meeting has no such sentence; /sentences lists its sentences")
    return to_sentence(row)


async def read_sentence_page(
    conn: AsyncConnection,
    team_id: str,
    meeting_id: UUID,
    *,
    from_s: float = 0.0,
    until_s: float = math.inf,
    after: str | None = None,
    limit: int,
) -> list[Sentence]:
    """Read a part of a meeting's sentences in reading order. Retracted ones are left out.

    Args:
        from_s: the earliest end of a sentence, in seconds from the meeting's start.
        until_s: the latest start of a sentence, in the same seconds.
        after: id of the last sentence of the previous page; None for the first page.
        limit: most sentences to return.

    Raises:
        InvalidInputError: the meeting never had the sentence `after`.
    """
    ids = {"team_id": team_id, "meeting_id": meeting_id, "after": after}
    if after is not None and (await conn.execute(_CURSOR_PLACE, ids)).one_or_none() is None:
        raise InvalidInputError("after", "must be the `after` of the previous page")
    rows = await conn.execute(_SENTENCE_PAGE, ids | {"from_s": from_s, "until_s": until_s, "limit": limit})
    return [to_sentence(row) for row in rows.mappings()]


async def read_captions_of_sentences(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, language: str, sentence_ids: Sequence[str]
) -> dict[str, Caption]:
    """Read the captions of a meeting's sentences in one language, by the ids of the sentences. Some may have none."""
    values = {"team_id": team_id, "meeting_id": meeting_id, "language": language, "sentence_ids": list(sentence_ids)}
    rows = await conn.execute(_CAPTIONS_OF_SENTENCES, values)
    return {caption.sentence_id: caption for caption in map(_to_caption, rows.mappings())}


async def read_captions(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, *, language: str | None = None
) -> list[Caption]:
    """Read the captions of a meeting's sentences, in reading order and then by language. Retracted sentences are left out.

    Args:
        language: return only captions in this language; None for all.
    """
    ids = {"team_id": team_id, "meeting_id": meeting_id}
    if language is None:
        rows = await conn.execute(_CAPTIONS, ids)
    else:
        rows = await conn.execute(_CAPTIONS_IN_LANGUAGE, ids | {"language": language})
    return [_to_caption(row) for row in rows.mappings()]


async def count_pending(conn: AsyncConnection, team_id: str, meeting_id: UUID) -> int:
    """Count the pending captions of a team's meeting."""
    return (await count_pending_by_meeting(conn, team_id, [meeting_id])).get(meeting_id, 0)


async def count_pending_by_meeting(conn: AsyncConnection, team_id: str, meeting_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Count the pending captions of each of a team's meetings that has any."""
    rows = await conn.execute(_COUNT_PENDING, {"team_id": team_id, "meeting_ids": list(meeting_ids)})
    return dict(rows.tuples().all())


async def list_final_captions(conn: AsyncConnection, meeting_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    """List the captions of meetings that are not pending, each as its meeting and sentence ids."""
    return list((await conn.execute(_FINAL_CAPTIONS, {"meeting_ids": list(meeting_ids)})).tuples().all())


async def read_events_after(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, seq: int, limit: int
) -> list[OutboxEvent]:
    """Read a meeting's live events after a `seq`, in order, at most `limit`."""
    values = {"team_id": team_id, "meeting_id": meeting_id, "after": seq, "limit": limit}
    rows = await conn.execute(_EVENTS_OF_TEAM, values)
    return [OutboxEvent(row.team_id, str(meeting_id), row.seq, row.kind, row.payload) for row in rows]


async def read_last_seq(conn: AsyncConnection, team_id: str, meeting_id: UUID) -> int:
    """Read the `seq` of a meeting's last live event; 0 if it has none.

    Raises:
        NotFoundError: the team has no such meeting.
    """
    seq = (await conn.execute(_LAST_SEQ, {"team_id": team_id, "meeting_id": meeting_id})).scalar_one_or_none()
    if seq is None:
        raise NotFoundError(f"there is no meeting {meeting_id}")
    return int(seq)


def to_sentence(row: RowMapping) -> Sentence:
    """Make a sentence of a row of `SENTENCE_COLUMNS`."""
    values: dict[str, Any] = dict(row)
    values["boundary"] = SentenceBoundary(values["boundary"])
    return Sentence(**values)


def _to_caption(row: RowMapping) -> Caption:
    values: dict[str, Any] = dict(row)
    values["status"] = CaptionStatus(values["status"])
    return Caption(**values)
