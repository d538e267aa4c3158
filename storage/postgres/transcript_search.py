"""The search in all meetings of a team: in their titles, sentences and captions.

A text matches if it contains all terms, whatever their case. Full-text search would split no Chinese, Japanese or Thai.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from psycopg.errors import QueryCanceled
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import InvalidInputError

SEARCH_TIMEOUT_MS = 20_000
"""Timeout of a search, in milliseconds."""

_SELECT_TITLES = text(
    "select id, title from meetings where team_id = :team_id and title ilike all(:patterns)"
    " order by created_at desc, id desc limit :limit"
)
_ID_NUMBERS = "string_to_array(btrim(regexp_replace({}, '\\D+', ' ', 'g')), ' ')::bigint[]"
_SELECT_SENTENCES = text(
    "with found as ("  # noqa: S608 - a constant
    " select meeting_id, id from sentences where team_id = :team_id and not retracted and text ilike all(:patterns)"
    " and (cast(:meeting_id as uuid) is null or meeting_id = :meeting_id)"
    " union"
    " select meeting_id, sentence_id from captions where team_id = :team_id and text ilike all(:patterns)"
    " and status in ('translated', 'same') and (cast(:meeting_id as uuid) is null or meeting_id = :meeting_id)"
    " and (cast(:language as text) is null or language = :language)),"
    f" placed as (select m.created_at, m.title, s.*, {_ID_NUMBERS.format('s.id')} as numbers from found f"
    " join sentences s on s.meeting_id = f.meeting_id and s.id = f.id join meetings m on m.id = s.meeting_id"
    " where not s.retracted),"
    f" last as (select m.created_at, s.meeting_id, s.start, {_ID_NUMBERS.format('s.id')} as numbers from sentences s"
    " join meetings m on m.id = s.meeting_id"
    " where s.team_id = :team_id and s.meeting_id = :after_meeting and s.id = :after_sentence)"
    " select p.meeting_id, p.title, p.id, p.speaker, p.text, p.start, c.language, c.text as caption from placed p"
    " left join lateral (select language, text from captions where meeting_id = p.meeting_id and sentence_id = p.id"
    " and text ilike all(:patterns) and status in ('translated', 'same')"
    " and (cast(:language as text) is null or language = :language) order by language limit 1) c on true"
    " where not exists (select 1 from last) or exists (select 1 from last"
    " where (p.created_at, p.meeting_id) < (last.created_at, last.meeting_id) or (p.meeting_id = last.meeting_id"
    " and (p.start, p.numbers) > (last.start, last.numbers)))"
    " order by p.created_at desc, p.meeting_id desc, p.start, p.numbers limit :limit"
)
_SPECIAL_CHARACTER = re.compile(r"[\\%_]")
_LIMIT_SEARCH = text("select set_config('statement_timeout', :milliseconds, true)")
_HAS_SENTENCE = text(
    "select exists (select 1 from sentences where team_id = :team_id and meeting_id = :meeting_id and id = :sentence_id)"
)


@dataclass(frozen=True, slots=True)
class FoundTitle:
    """A meeting whose title matches."""

    meeting_id: UUID
    title: str


@dataclass(frozen=True, slots=True)
class FoundSentence:
    """A sentence that matches, or one of whose captions does.

    Attributes:
        meeting_id, meeting_title: its meeting.
        sentence_id, speaker, text: the sentence.
        start: seconds from the meeting's start.
        language, caption: the first caption that matches; None if none does.
    """

    meeting_id: UUID
    meeting_title: str
    sentence_id: str
    speaker: str
    text: str
    start: float
    language: str | None
    caption: str | None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to search for.

    Attributes:
        terms: the terms, all of which a text must contain.
        meeting_id: the only meeting to search; None for all.
        language: the only language of captions; None for all.
    """

    terms: Sequence[str]
    meeting_id: UUID | None = None
    language: str | None = None

    @property
    def patterns(self) -> list[str]:
        """The terms as patterns of `ilike`."""
        escaped = (_SPECIAL_CHARACTER.sub(r"\\\g<0>", term) for term in self.terms)
        return [f"%{term}%" for term in escaped]


async def find_titles(conn: AsyncConnection, team_id: str, query: SearchQuery, limit: int) -> list[FoundTitle]:
    """Find the meetings whose title matches, newest first."""
    parameters = {"team_id": team_id, "patterns": query.patterns, "limit": limit}
    return [FoundTitle(*row) for row in await conn.execute(_SELECT_TITLES, parameters)]


async def find_sentences(
    conn: AsyncConnection, team_id: str, query: SearchQuery, limit: int, after: tuple[UUID, str] | None = None
) -> list[FoundSentence]:
    """Find sentences of the team's meetings: newest meetings first, and in reading order within a meeting.

    Args:
        limit: most sentences to return.
        after: meeting and id of the last sentence of the previous page.

    Raises:
        InvalidInputError: there is no sentence `after`, or the search took longer than `SEARCH_TIMEOUT_MS`. The transaction has
            ended.
    """
    after_meeting, after_sentence = after or (None, None)
    if after is not None:
        place = {"team_id": team_id, "meeting_id": after_meeting, "sentence_id": after_sentence}
        if not (await conn.execute(_HAS_SENTENCE, place)).scalar_one():
            raise InvalidInputError("after", "must be the `after` of a page of this search")
    parameters = {
        "team_id": team_id,
        "patterns": query.patterns,
        "meeting_id": query.meeting_id,
        "language": query.language,
        "after_meeting": after_meeting,
        "after_sentence": after_sentence,
        "limit": limit,
    }
    too_long = InvalidInputError("q", "the search took too long; name a `meeting`, or more of the words")
    async with limit_search(conn, SEARCH_TIMEOUT_MS, too_long):
        return [FoundSentence(*row) for row in await conn.execute(_SELECT_SENTENCES, parameters)]


@asynccontextmanager
async def limit_search(conn: AsyncConnection, timeout_ms: int, too_long: InvalidInputError) -> AsyncGenerator[None]:
    """Limit the statements of a block, and of the rest of the transaction.

    Args:
        conn: the connection, in a transaction.
        timeout_ms: the limit of each statement, in milliseconds.
        too_long: the error for a statement that takes longer. The transaction has ended then.
    """
    await conn.execute(_LIMIT_SEARCH, {"milliseconds": str(timeout_ms)})
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise too_long from None
        raise
