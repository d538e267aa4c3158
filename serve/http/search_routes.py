"""Route for the search in all meetings, with the matches marked."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel

from operators.characters import require_storable
from operators.errors import InvalidInputError
from operators.fields import Language
from operators.text_search import TextPart, parse_terms, split_at_matches
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from storage.postgres import meeting_queries
from storage.postgres.transcript_search import FoundSentence, SearchQuery, find_sentences, find_titles
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/search", tags=["transcripts"])

MAX_QUERY_CHARS = 500
"""Maximum length of a search, in characters."""
MAX_HITS = 200
"""Most sentences of a page."""
MAX_TITLES = 20
"""Most meetings whose title matches."""


class TitleHit(BaseModel):
    """A meeting whose title matches."""

    meeting_id: UUID
    title: list[TextPart]


class CaptionHit(BaseModel):
    """A caption that matches."""

    language: str
    text: list[TextPart]


class SentenceHit(BaseModel):
    """A sentence that matches, or one of whose captions does. `start` is in seconds from the meeting's start."""

    meeting_id: UUID
    meeting_title: str
    sentence_id: str
    speaker: str
    start: float
    text: list[TextPart]
    caption: CaptionHit | None


class SearchResult(BaseModel):
    """What was found. The parts of a text, joined, are the text. Send `after` to get the next page; it is null on the last."""

    meetings: list[TitleHit]
    sentences: list[SentenceHit]
    after: str | None


@router.get("", responses=problem_responses(404))
async def search_meetings(
    services: ServicesDep,
    q: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARS,
            description="Words, and phrases in double quotes. A text must contain all of them, in any case.",
            examples=['budget "second quarter"'],
        ),
        AfterValidator(require_storable),
    ],
    meeting: Annotated[UUID | None, Query(description="The only meeting to search.")] = None,
    language: Annotated[Language | None, Query(description="The only language of captions to search.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_HITS)] = 50,
    after: Annotated[str | None, Query(max_length=1_000, description="The `after` of the previous page.")] = None,
) -> SearchResult:
    """Search the titles, sentences and captions of all meetings. The newest meetings come first.

    Titles are on the first page only, and only without `meeting`.
    """
    query = SearchQuery(parse_terms(q), meeting, language)
    last = None if after is None else _parse_after(after)
    async with services.database.connect() as conn:
        if meeting is not None:
            await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting)
        titles = []
        if meeting is None and last is None:
            titles = await find_titles(conn, DEFAULT_TEAM_ID, query, MAX_TITLES)
        # One more than the page shows whether there is a next page.
        found = await find_sentences(conn, DEFAULT_TEAM_ID, query, limit + 1, last)
    page = found[:limit]
    return SearchResult(
        meetings=[
            TitleHit(meeting_id=title.meeting_id, title=list(split_at_matches(title.title, query.terms)))
            for title in titles
        ],
        sentences=[_to_hit(sentence, query) for sentence in page],
        after=f"{page[-1].meeting_id}/{page[-1].sentence_id}" if len(found) > limit else None,
    )


def _parse_after(after: str) -> tuple[UUID, str]:
    meeting_id, _, sentence_id = after.partition("/")
    try:
        return UUID(meeting_id), require_storable(sentence_id)
    except ValueError:
        raise InvalidInputError("after", "must be the `after` of a page of this search") from None


def _to_hit(found: FoundSentence, query: SearchQuery) -> SentenceHit:
    caption = None
    if found.language is not None and found.caption is not None:
        caption = CaptionHit(language=found.language, text=list(split_at_matches(found.caption, query.terms)))
    return SentenceHit(
        meeting_id=found.meeting_id,
        meeting_title=found.meeting_title,
        sentence_id=found.sentence_id,
        speaker=found.speaker,
        start=found.start,
        text=list(split_at_matches(found.text, query.terms)),
        caption=caption,
    )
