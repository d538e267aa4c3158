"""Routes for a meeting's sentences and captions in their current state."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from operators.fields import Language
from operators.translation_requests import CaptionStatus
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from storage.ingest import meeting_service
from storage.postgres import transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}", tags=["transcripts"])


class Sentence(BaseModel):
    """A sentence in its latest revision. Times are seconds from the meeting's start.

    `speaker_id` distinguishes speakers of the same name; it is null unless the source sent one. `first_text` is the text as first
    emitted, and `first_emitted` the time of that.
    """

    id: str
    revision: int
    speaker: str
    speaker_id: str | None
    text: str
    start: float
    end: float
    boundary: str
    language: str | None
    first_emitted: float
    first_text: str


class Caption(BaseModel):
    """The translation of a sentence into one language. `revision` is the sentence's revision that was translated.

    `text` is null while the caption is pending, and if there will be no translation; then `reason` says why. `warnings` names what
    the translation may lack: a number, a name, a term. `attempts` counts the translation requests over all revisions.
    """

    sentence_id: str
    revision: int
    language: str
    status: CaptionStatus
    text: str | None
    engine: str | None
    reason: str | None
    warnings: list[str]
    version: int
    attempts: int


class Sentences(BaseModel):
    """A meeting's sentences in reading order."""

    sentences: list[Sentence]


class Captions(BaseModel):
    """A meeting's captions in the reading order of their sentences."""

    captions: list[Caption]


@router.get("/sentences", responses=problem_responses(404))
async def list_sentences(meeting_id: UUID, services: ServicesDep) -> Sentences:
    """List the sentences of a meeting, in reading order."""
    async with services.database.connect() as conn:
        await meeting_service.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        records = await transcript_queries.read_sentences(conn, DEFAULT_TEAM_ID, meeting_id)
    return Sentences(sentences=[Sentence.model_validate(record, from_attributes=True) for record in records])


@router.get("/captions", responses=problem_responses(404))
async def list_captions(
    meeting_id: UUID, services: ServicesDep, language: Annotated[Language | None, Query()] = None
) -> Captions:
    """List the captions of a meeting, in all its languages or in one."""
    async with services.database.connect() as conn:
        await meeting_service.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        records = await transcript_queries.read_captions(conn, DEFAULT_TEAM_ID, meeting_id, language=language)
    return Captions(captions=[Caption.model_validate(record, from_attributes=True) for record in records])
