"""Tools that read a meeting in pages: its sentences, and their translations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import InvalidInputError
from operators.fields import Language, Name, SpeechTime, StrictModel
from operators.stream import Sentence
from serve.http.dependencies.services import Services
from serve.http.mcp.tool import Tool
from serve.http.mcp.transcript_lines import CaptionLine, TranscriptLine
from storage.notes.note_queries import read_note_sentences
from storage.postgres import meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID

MAX_LINES = 500
"""Most sentences or captions of a page."""


class SpanArguments(StrictModel):
    """A part of a meeting."""

    meeting_id: Annotated[UUID, Field(description="The meeting's id, from `list_meetings` or `search_transcripts`.")]
    from_s: Annotated[SpeechTime, Field(description="Begin here, in seconds from the meeting's start.")] = 0.0
    until_s: Annotated[
        SpeechTime | None, Field(description="Stop here, in seconds from the meeting's start. The default is the end.")
    ] = None
    after: Annotated[
        Name | None, Field(description="The `after` of the previous page. Leave it out for the first page.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_LINES, description="Most sentences to return.")] = 100

    @model_validator(mode="after")
    def _require_order(self) -> Self:
        if self.until_s is not None and self.until_s < self.from_s:
            raise ValueError("until_s must not be before from_s")
        return self


class TranscriptArguments(SpanArguments):
    """The sentences to read: a span, or those with the given ids."""

    sentences: Annotated[
        tuple[Name, ...],
        Field(
            max_length=MAX_LINES,
            description="Read the sentences with these ids, which answers, notes and insights name. Give no span with them.",
        ),
    ] = ()

    @model_validator(mode="after")
    def _require_one_selection(self) -> Self:
        span = self.model_fields_set & {"from_s", "until_s", "after", "limit"}
        if self.sentences and span:
            raise ValueError(f"give `sentences` or a span, not both; leave out {', '.join(sorted(span))}")
        return self


class CaptionArguments(SpanArguments):
    """The captions to read."""

    language: Annotated[Language, Field(description="Tag of a language that the meeting is translated into.")]


class TranscriptPage(BaseModel):
    """Sentences in reading order. `after` is null on the last page."""

    sentences: list[TranscriptLine]
    after: str | None


class CaptionPage(BaseModel):
    """Translations in the reading order of their sentences. `after` is null on the last page."""

    captions: list[CaptionLine]
    after: str | None


async def read_transcript(services: Services, arguments: TranscriptArguments) -> TranscriptPage:
    """Read a part of a meeting's transcript.

    Raises:
        NotFoundError: there is no such meeting.
        InvalidInputError: the meeting has no such sentence.
    """
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, arguments.meeting_id)
        if arguments.sentences:
            found = await read_note_sentences(conn, DEFAULT_TEAM_ID, arguments.meeting_id, arguments.sentences)
            lines = [TranscriptLine.model_validate(each, from_attributes=True) for each in found]
            return TranscriptPage(sentences=lines, after=None)
        page, after = await _read_page(conn, arguments)
    return TranscriptPage(sentences=list(map(TranscriptLine.from_sentence, page)), after=after)


async def read_captions(services: Services, arguments: CaptionArguments) -> CaptionPage:
    """Read a part of a meeting's captions in one language.

    Raises:
        NotFoundError: there is no such meeting.
        InvalidInputError: the meeting isn't translated into the language.
    """
    async with services.database.connect() as conn:
        meeting = await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, arguments.meeting_id)
        page, after = await _read_page(conn, arguments)
        captions = await transcript_queries.read_captions_of_sentences(
            conn, DEFAULT_TEAM_ID, arguments.meeting_id, arguments.language, [sentence.id for sentence in page]
        )
    targets = meeting.config.target_languages
    # The languages may have changed during the meeting.
    if not captions and arguments.language not in targets:
        fix = f"must be one of {', '.join(targets)}" if targets else "the meeting is translated into no language"
        raise InvalidInputError("language", fix)
    lines = [CaptionLine.from_caption(sentence, captions.get(sentence.id)) for sentence in page]
    return CaptionPage(captions=lines, after=after)


async def _read_page(conn: AsyncConnection, arguments: SpanArguments) -> tuple[Sequence[Sentence], str | None]:
    """Read a page of sentences, and the `after` of the next page."""
    found = await transcript_queries.read_sentence_page(
        conn,
        DEFAULT_TEAM_ID,
        arguments.meeting_id,
        from_s=arguments.from_s,
        until_s=math.inf if arguments.until_s is None else arguments.until_s,
        after=arguments.after,
        # One more than the page shows whether there is a next page.
        limit=arguments.limit + 1,
    )
    page = found[: arguments.limit]
    return page, page[-1].id if len(found) > len(page) else None


TOOLS = (
    Tool(
        name="read_transcript",
        title="Read a transcript",
        description=(
            "Reads the sentences of a meeting as they were spoken: all in pages, a span of time, or those with given ids."
            " A live meeting grows, and its last sentences may still change."
        ),
        arguments=TranscriptArguments,
        result=TranscriptPage,
        run=read_transcript,
    ),
    Tool(
        name="read_captions",
        title="Read captions",
        description="Reads the translations of a meeting's sentences into one language, in pages or in a span of time.",
        arguments=CaptionArguments,
        result=CaptionPage,
        run=read_captions,
    ),
)
