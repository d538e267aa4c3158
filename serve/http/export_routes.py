"""A meeting as a file: subtitles, data, or a page to be read."""

from __future__ import annotations

import unicodedata
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Response

from operators.model import Language
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
from storage.ingest import meeting_service
from storage.postgres import transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}", tags=["transcripts"])

_MEDIA_TYPES: dict[ExportFormat, str] = {
    "jsonl": "application/x-ndjson",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "md": "text/markdown",
}
_MAX_NAME_BYTES = 150
"""Bytes of a title that go into a file's name: file systems take 255 with all that is put around it."""

_TEXT = Query(description="What was said, its translation, or both: the default where the meeting is translated.")
_LANGUAGE = Query(
    description="The translation's; may be left out where there is only one. JSONL holds all without it."
    " It goes with target or both."
)


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"description": "The file.", "content": {media: {} for media in _MEDIA_TYPES.values()}}}
    | problem_responses(404),
)
async def export(
    meeting_id: UUID,
    services: ServicesDep,
    file_format: Annotated[ExportFormat, Query(alias="format")] = "jsonl",
    text: Annotated[ExportText | None, _TEXT] = None,
    language: Annotated[Language | None, _LANGUAGE] = None,
) -> Response:
    """The meeting as a file to keep, as it stands now.

    Every sentence is in it. One without a translation stands there itself, marked `[untranslated]`, or
    `[not yet translated]` where the translation is still to come. In JSONL a caption that is still to come has the
    status `pending` and no text; one that isn't there will not come. What a translation may not have kept stands behind it in
    Markdown, and in JSONL in its `warnings`; subtitles don't say it.
    """
    async with services.database.connect() as conn:
        # A running meeting goes on between two queries.
        await conn.execution_options(isolation_level="REPEATABLE READ")
        transcript = Transcript(
            await meeting_service.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id),
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
    """The file's name as a header (RFC 6266): in ASCII for every client, and as it is for those that read RFC 8187."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    extension = f".{selection.language}.{selection.format}" if selection.language else f".{selection.format}"
    name, fallback = (f"{_safe_file_name(variant) or 'Meeting'}{extension}" for variant in (title, plain))
    header = f'attachment; filename="{fallback}"'
    return header if name == fallback else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _safe_file_name(title: str) -> str:
    """A title without what a file system, a shell's user or a header could stumble over."""
    characters = (
        " " if character in '\\/:;*?"<>|%' or unicodedata.category(character)[0] == "C" else character
        for character in title
    )
    short = " ".join("".join(characters).split()).encode()[:_MAX_NAME_BYTES]
    return short.decode(errors="ignore").strip(" .")
