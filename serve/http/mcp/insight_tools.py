"""Tools that read what a language model and people wrote about a meeting: notes, and insights by templates."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from operators.fields import StrictModel
from serve.http.dependencies.services import Services
from serve.http.intelligence import InsightPage, NoteList, list_insights, list_notes
from serve.http.mcp.tool import Tool

MAX_NOTES = 200
"""Most notes of a page."""
MAX_INSIGHTS = 50
"""Most insights of a page."""

MeetingId = Annotated[UUID, Field(description="The meeting's id, from `list_meetings` or `search_transcripts`.")]
Before = Annotated[
    UUID | None, Field(description="The `before` of the previous page. Leave it out for the first page.")
]


class NotesArguments(StrictModel):
    """The notes to read."""

    meeting_id: MeetingId
    limit: Annotated[int, Field(ge=1, le=MAX_NOTES, description="Most notes to return.")] = 50
    before: Before = None


class InsightsArguments(StrictModel):
    """The insights to read."""

    meeting_id: MeetingId
    limit: Annotated[int, Field(ge=1, le=MAX_INSIGHTS, description="Most insights to return.")] = 10
    before: Before = None


async def read_notes(services: Services, arguments: NotesArguments) -> NoteList:
    """Read the last notes of a meeting, or those before a page.

    Raises:
        NotFoundError: there is no such meeting.
        InvalidInputError: the meeting has no note `before`.
    """
    return await list_notes(arguments.meeting_id, services, arguments.limit, arguments.before)


async def read_insights(services: Services, arguments: InsightsArguments) -> InsightPage:
    """Read the insights of a meeting, newest first.

    Raises:
        NotFoundError: there is no such meeting.
    """
    return await list_insights(arguments.meeting_id, services, arguments.limit, arguments.before)


TOOLS = (
    Tool(
        name="read_notes",
        title="Read notes",
        description=(
            "Reads the last notes of a meeting, in the order of the speech: running notes of a model (`auto`), answers about a"
            " selection (`analysis`) and notes of people (`manual`). Each names its sentences. The previous notes are those"
            " `before` the page."
        ),
        arguments=NotesArguments,
        result=NoteList,
        run=read_notes,
    ),
    Tool(
        name="read_insights",
        title="Read insights",
        description=(
            "Reads what a model wrote about a whole meeting by templates, newest first: a summary, action items, decisions and"
            " others. Rows of action items and decisions name their sentences. It writes none."
        ),
        arguments=InsightsArguments,
        result=InsightPage,
        run=read_insights,
    ),
)
