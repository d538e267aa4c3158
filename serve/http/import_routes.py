"""Routes that import transcript files as recorded meetings.

The file is stored whole, parsed, before the request is answered. The maintenance actor appends its events to the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.config import JsonDict
from starlette.requests import ClientDisconnect

from operators.errors import InvalidInputError
from operators.fields import EpochMs, Language, SourceLanguage, Title, to_invalid_input_error
from operators.meeting_config import MAX_TARGET_LANGUAGES, MeetingConfig
from operators.transcripts import TranscriptFormat, parse_transcript, transcript_name
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from serve.text.languages import confusable_group, detect_group
from storage.postgres import transcript_imports
from storage.postgres.transcript_imports import ImportRecord, ImportStatus
from storage.records import DEFAULT_TEAM_ID

PATH = "/api/imports"
DEFAULT_NAME = "transcript"
"""Name of a file that is sent without one."""

router = APIRouter(prefix=PATH, tags=["imports"])

_NAME = Query(description="The file's name. Errors begin with it, and it is the default of the title.")
_TITLE = Query(description="The meeting's title. The default is the file's name without its suffix.")
_SOURCE_LANGUAGE = Query(description="The language spoken, or `auto`.")
_TARGET_LANGUAGES = Query(description="The languages to translate into.", max_length=MAX_TARGET_LANGUAGES)
_BEGAN_AT = Query(
    description="Start of the meeting, in ms since the Unix epoch. The default is the start in the file, or else the present."
)
_EXAMPLE = "WEBVTT\n\n00:00:00.500 --> 00:00:01.400\n<v Ann>Good morning.</v>\n"
_STATE_EXAMPLE: JsonDict = {
    "id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718293",
    "state": "running",
    "detail": "the meeting is paused",
    "meeting_id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718294",
    "event_count": 640,
    "appended": 200,
    "name": "meeting.vtt",
    "format": "vtt",
    "title": "meeting",
    "began_at_ms": 1_795_000_000_000,
    "speakers": "named",
    "times_estimated": False,
    "issues": [{"place": "line 12", "message": "a cue without text", "lost_speech": False}],
    "issue_count": 1,
    "created_at": "2026-11-30T09:00:00Z",
    "updated_at": "2026-11-30T09:00:05Z",
}


class ImportIssue(BaseModel):
    """A part of a file that was left out or repaired: its place, the problem, and whether speech was lost."""

    place: str
    message: str
    lost_speech: bool


class ImportState(BaseModel):
    """An import, with its progress.

    `state` is `queued`, `running`, `done` or `failed`. `appended` counts the events of the file, of `event_count`, that the log has
    accepted. `meeting_id` is null until the meeting is open. `detail` says why the import waits, or why it failed. `issues` has
    the first parts of the file that were left out or repaired, of `issue_count`. `speakers` is `named`, `guessed` or `unknown`.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_STATE_EXAMPLE]})

    id: UUID
    state: ImportStatus
    detail: str | None
    meeting_id: UUID | None
    event_count: int
    appended: int
    name: str
    format: TranscriptFormat
    title: str
    began_at_ms: int
    speakers: str
    times_estimated: bool
    issues: list[ImportIssue]
    issue_count: int
    created_at: datetime
    updated_at: datetime


@router.post(
    "",
    status_code=202,
    responses={200: {"model": ImportState, "description": "The same file was imported with these options before."}}
    | problem_responses(429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file: VTT, SRT, text with names or times, JSON of Google Meet, Fireflies or Recall.ai, or"
            " Parley's JSONL. Its content decides the format.",
            "content": {
                "application/octet-stream": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": _EXAMPLE,
                }
            },
        }
    },
)
async def import_transcript_file(
    request: Request,
    response: Response,
    services: ServicesDep,
    name: Annotated[Title, _NAME] = DEFAULT_NAME,
    title: Annotated[Title | None, _TITLE] = None,
    source_language: Annotated[SourceLanguage, _SOURCE_LANGUAGE] = "auto",
    target_languages: Annotated[list[Language] | None, _TARGET_LANGUAGES] = None,
    began_at: Annotated[EpochMs | None, _BEGAN_AT] = None,
) -> ImportState:
    """Import a transcript file, sent as the body, as a recorded meeting. The import continues after the answer.

    A repeated request with the same content and options returns the same import. A restart of any part of Parley doesn't end an
    import: it continues where it was. 422 means that the file can't be read, and names the line or the path in a JSON document.
    429 means that too many imports aren't finished: `Retry-After` says when to try again.
    """
    try:
        config = MeetingConfig(source_language=source_language, target_languages=tuple(target_languages or ()))
    except ValidationError as error:
        raise to_invalid_input_error(error) from None
    content = await _read_body(request)
    name = name if name.strip() else DEFAULT_NAME
    async with services.parsing:
        transcript = await asyncio.to_thread(
            parse_transcript,
            content,
            name,
            language_of=detect_group,
            spoken_language=None if source_language == "auto" else confusable_group(source_language),
        )
    title = transcript_name(name) if title is None else title
    options = [title, source_language, config.target_languages, began_at]
    if began_at is None:
        began_at = transcript.began_at_ms
    async with services.database.begin() as conn:
        record, is_new = await transcript_imports.add_import(
            conn,
            DEFAULT_TEAM_ID,
            transcript,
            fingerprint=_fingerprint(content, options),
            name=name,
            title=title,
            config=config,
            began_at_ms=int(time.time() * 1000) if began_at is None else began_at,
        )
    if not is_new:
        response.status_code = 200
    return _to_state(record)


@router.get("/{import_id}", responses=problem_responses(404))
async def get_import(import_id: UUID, services: ServicesDep) -> ImportState:
    """Get an import, with its progress. Captions of its meeting may follow after it is done."""
    async with services.database.connect() as conn:
        return _to_state(await transcript_imports.read_import(conn, DEFAULT_TEAM_ID, import_id))


async def _read_body(request: Request) -> bytes:
    content = bytearray()
    try:
        async for part in request.stream():
            content += part
    except ClientDisconnect:
        raise InvalidInputError("body", "must be sent completely: the connection was closed before its end") from None
    return bytes(content)


def _fingerprint(content: bytes, options: list[Any]) -> str:
    """Return an identifier of a file's content and the options of its import."""
    return hashlib.sha256(hashlib.sha256(content).digest() + json.dumps(options).encode()).hexdigest()


def _to_state(record: ImportRecord) -> ImportState:
    return ImportState.model_validate(record, from_attributes=True)
