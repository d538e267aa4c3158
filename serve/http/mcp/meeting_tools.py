"""Tools that find meetings: a list, and a search in the transcripts of all meetings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from operators.chat.sentence_ranking import search_words
from operators.errors import InvalidInputError
from operators.fields import StrictModel, require_non_blank
from serve.http.dependencies.services import Services
from serve.http.mcp.tool import Tool
from serve.http.mcp.transcript_lines import TranscriptLine
from storage.chat.due_questions import TeamSentence, search_team
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID, MeetingRecord, MeetingStatus

MAX_MEETINGS = 100
"""Most meetings of a page."""
MAX_HITS = 50
"""Most sentences that a search returns."""
MAX_QUERY_CHARS = 500
"""Maximum length of a search, in characters."""


class ListMeetingsArguments(StrictModel):
    """Which meetings to list."""

    status: Annotated[
        tuple[MeetingStatus, ...] | None,
        Field(min_length=1, max_length=6, description="Only meetings with one of these statuses."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_MEETINGS, description="Most meetings to return.")] = 20
    before: Annotated[
        UUID | None, Field(description="The `before` of the previous page. Leave it out for the first page.")
    ] = None


class ListedMeeting(BaseModel):
    """A meeting. `target_languages` are the languages that it is translated into."""

    id: UUID
    title: str
    status: MeetingStatus
    began_at: datetime | None
    ended_at: datetime | None
    source_language: str
    target_languages: tuple[str, ...]


class ListedMeetings(BaseModel):
    """Meetings, newest first. `before` is null on the last page."""

    meetings: list[ListedMeeting]
    before: UUID | None


class SearchArguments(StrictModel):
    """What to search for."""

    query: Annotated[
        str,
        Field(max_length=MAX_QUERY_CHARS, description="Words as they were spoken. Any of them may match."),
        AfterValidator(require_non_blank),
    ]
    limit: Annotated[int, Field(ge=1, le=MAX_HITS, description="Most sentences to return.")] = 20


class SearchHit(BaseModel):
    """A sentence that has a word of the search, with its meeting."""

    meeting_id: UUID
    meeting_title: str
    sentence: TranscriptLine


class SearchResult(BaseModel):
    """Sentences that have a word of the search. Those with more or rarer words come first."""

    hits: list[SearchHit]
    has_more: bool


async def list_meetings(services: Services, arguments: ListMeetingsArguments) -> ListedMeetings:
    """List the team's meetings, newest first."""
    async with services.database.connect() as conn:
        # One more than the page shows whether there is a next page.
        records = await meeting_queries.list_meetings(
            conn,
            DEFAULT_TEAM_ID,
            statuses=arguments.status,
            limit=arguments.limit + 1,
            before=arguments.before,
        )
    page = records[: arguments.limit]
    return ListedMeetings(
        meetings=list(map(_to_listed, page)), before=page[-1].id if len(records) > len(page) else None
    )


async def search_transcripts(services: Services, arguments: SearchArguments) -> SearchResult:
    """Search the transcripts of all meetings of the team.

    Raises:
        InvalidInputError: the search took too long.
    """
    async with services.database.connect() as conn:
        try:
            found = await search_team(conn, DEFAULT_TEAM_ID, search_words(arguments.query), arguments.limit + 1)
        except InvalidInputError:
            raise InvalidInputError("query", "the search took too long; use fewer words") from None
    return SearchResult(hits=list(map(_to_hit, found[: arguments.limit])), has_more=len(found) > arguments.limit)


def _to_listed(record: MeetingRecord) -> ListedMeeting:
    return ListedMeeting(
        id=record.id,
        title=record.title,
        status=record.status,
        began_at=record.began_at,
        ended_at=record.ended_at,
        source_language=record.config.source_language,
        target_languages=record.config.target_languages,
    )


def _to_hit(found: TeamSentence) -> SearchHit:
    return SearchHit(
        meeting_id=found.meeting_id,
        meeting_title=found.meeting_title,
        sentence=TranscriptLine.from_sentence(found.sentence),
    )


TOOLS = (
    Tool(
        name="list_meetings",
        title="List meetings",
        description="Lists the meetings, newest first, with their languages. A live meeting has the status `live`.",
        arguments=ListMeetingsArguments,
        result=ListedMeetings,
        run=list_meetings,
    ),
    Tool(
        name="search_transcripts",
        title="Search transcripts",
        description=(
            "Searches the original transcripts of all meetings for words. It compares words as they are written, so use words"
            " of the language that was spoken. Read the sentences around a hit with `read_transcript`, by their times."
        ),
        arguments=SearchArguments,
        result=SearchResult,
        run=search_transcripts,
    ),
)
