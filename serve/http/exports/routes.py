"""Route that exports a meeting as a file: subtitles, data, a document to read, or all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from operators.fields import Language
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.exports.file_names import content_disposition
from serve.http.exports.renderer import render_export
from serve.http.exports.transcript import (
    ExportFormat,
    ExportPart,
    ExportText,
    Transcript,
    select_export,
    select_parts,
)
from serve.http.problems import problem_responses
from storage.insights import insight_queries
from storage.notes import note_queries
from storage.postgres import meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}", tags=["transcripts"])

_MEDIA_TYPES: dict[ExportFormat, str] = {
    "jsonl": "application/x-ndjson; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "zip": "application/zip",
}

_TEXT = Query(
    description="The source text, the translation (target), or both. The default is both if the meeting is translated."
)
_LANGUAGE = Query(
    description="Language of the translation, for target or both. It may be omitted if there is only one."
    " JSONL and ZIP have all languages without it."
)
_INCLUDE = Query(
    description="What the file has beside the transcript: Markdown, TXT and DOCX can have notes and insights."
    " A ZIP has both without it."
)

_rendering = asyncio.Semaphore(1)
"""A long meeting takes seconds to render. One at a time leaves the process to other requests."""


@router.get(
    "/export",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {media.partition(";")[0]: {} for media in _MEDIA_TYPES.values()}}
    }
    | problem_responses(404),
)
async def export_meeting(
    meeting_id: UUID,
    services: ServicesDep,
    file_format: Annotated[ExportFormat, Query(alias="format")] = "jsonl",
    text: Annotated[ExportText | None, _TEXT] = None,
    language: Annotated[Language | None, _LANGUAGE] = None,
    include: Annotated[list[ExportPart] | None, _INCLUDE] = None,
) -> Response:
    """Export a meeting as a file, in its current state.

    The file has every sentence. A sentence without a translation appears in its source language, marked `[untranslated]`. While the
    translation is pending, the mark is `[not yet translated]`. In JSONL a pending caption has the status `pending` and no text; a
    caption that is missing will not follow. Warnings about a translation appear after it in Markdown, TXT and DOCX, and in its
    `warnings` in JSONL; subtitles have none.

    Notes that aren't written are counted, and an insight that failed is listed with its reason. A ZIP has the meeting in each
    other format and language, and the rows of its insights as CSV.
    """
    transcript = await read_stored_transcript(services, meeting_id, select_parts(file_format, include))
    selection = select_export(transcript, file_format, text, language)
    async with _rendering:
        content = await asyncio.to_thread(render_export, transcript, selection)
    headers = {"Content-Disposition": content_disposition(transcript.title, selection)}
    return Response(content, media_type=_MEDIA_TYPES[file_format], headers=headers)


async def read_stored_transcript(
    services: Services, meeting_id: UUID, parts: Collection[ExportPart] = ()
) -> Transcript:
    """Read a meeting of the team with its sentences and captions, all in the same state.

    Args:
        services: the services of the replica.
        meeting_id: the meeting.
        parts: what to read beside the transcript.

    Raises:
        NotFoundError: the team has no such meeting.
    """
    async with services.database.connect() as conn:
        # A live meeting changes between two queries.
        await conn.execution_options(isolation_level="REPEATABLE READ")
        meeting = (DEFAULT_TEAM_ID, meeting_id)
        return Transcript(
            await meeting_queries.read_meeting(conn, *meeting),
            await transcript_queries.read_sentences(conn, *meeting),
            await transcript_queries.read_captions(conn, *meeting),
            await note_queries.list_notes(conn, *meeting, limit=note_queries.MAX_NOTES) if "notes" in parts else (),
            await insight_queries.list_insights(conn, *meeting, limit=insight_queries.MAX_INSIGHTS)
            if "insights" in parts
            else (),
        )
