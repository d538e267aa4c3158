"""Route that exports a meeting as a file: subtitles, data, or a page to read."""

from __future__ import annotations

import unicodedata
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Response

from operators.fields import Language
from serve.http.dependencies.services import ServicesDep
from serve.http.export_formats import (
    ExportFormat,
    ExportSelection,
    ExportText,
    Transcript,
    render_export,
    select_export,
)
from serve.http.problems import problem_responses
from storage.postgres import meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}", tags=["transcripts"])

_MEDIA_TYPES: dict[ExportFormat, str] = {
    "jsonl": "application/x-ndjson",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "md": "text/markdown",
}
_MAX_NAME_BYTES = 150
"""The most bytes of a title in a file's name: file systems allow 255 for the complete name."""

_TEXT = Query(
    description="The source text, the translation (target), or both. The default is both if the meeting is translated."
)
_LANGUAGE = Query(
    description="Language of the translation, for target or both. It may be omitted if there is only one."
    " JSONL has all languages without it."
)


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"description": "The file.", "content": {media: {} for media in _MEDIA_TYPES.values()}}}
    | problem_responses(404),
)
async def export_meeting(
    meeting_id: UUID,
    services: ServicesDep,
    file_format: Annotated[ExportFormat, Query(alias="format")] = "jsonl",
    text: Annotated[ExportText | None, _TEXT] = None,
    language: Annotated[Language | None, _LANGUAGE] = None,
) -> Response:
    """Export a meeting as a file, in its current state.

    The file has every sentence. A sentence without a translation appears in its source language, marked `[untranslated]`. While the
    translation is pending, the mark is `[not yet translated]`. In JSONL a pending caption has the status `pending` and no text; a
    caption that is missing will not follow. Warnings about a translation appear after it in Markdown, and in its `warnings` in
    JSONL; subtitles have none.
    """
    async with services.database.connect() as conn:
        # A live meeting changes between two queries.
        await conn.execution_options(isolation_level="REPEATABLE READ")
        transcript = Transcript(
            await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id),
            await transcript_queries.read_sentences(conn, DEFAULT_TEAM_ID, meeting_id),
            await transcript_queries.read_captions(conn, DEFAULT_TEAM_ID, meeting_id),
        )
    selection = select_export(transcript, file_format, text, language)
    return Response(
        render_export(transcript, selection),
        media_type=f"{_MEDIA_TYPES[file_format]}; charset=utf-8",
        headers={"Content-Disposition": _content_disposition(transcript.title, selection)},
    )


def _content_disposition(title: str, selection: ExportSelection) -> str:
    """Build the header with the file's name (RFC 6266): in ASCII for all clients, and in full for clients with RFC 8187."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    extension = f".{selection.language}.{selection.format}" if selection.language else f".{selection.format}"
    name, fallback = (f"{_safe_file_name(variant) or 'Meeting'}{extension}" for variant in (title, plain))
    header = f'attachment; filename="{fallback}"'
    return header if name == fallback else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _safe_file_name(title: str) -> str:
    """Remove the characters from a title that are unsafe in file names, shells or headers."""
    characters = (
        " " if character in '\\/:;*?"<>|%' or unicodedata.category(character)[0] == "C" else character
        for character in title
    )
    short = " ".join("".join(characters).split()).encode()[:_MAX_NAME_BYTES]
    return short.decode(errors="ignore").strip(" .")
