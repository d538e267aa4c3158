"""Routes for a meeting's sentences and captions in their current state."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from operators.fields import Language
from operators.stream import Sentence
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from storage.postgres import meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID, Caption

router = APIRouter(prefix="/api/meetings/{meeting_id}", tags=["transcripts"])


class SentenceList(BaseModel):
    """A meeting's sentences in reading order."""

    sentences: list[Sentence]


class CaptionList(BaseModel):
    """A meeting's captions in the reading order of their sentences."""

    captions: list[Caption]


@router.get("/sentences", responses=problem_responses(404))
async def list_sentences(meeting_id: UUID, services: ServicesDep) -> SentenceList:
    """List the sentences of a meeting, in reading order."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        return SentenceList(sentences=await transcript_queries.read_sentences(conn, DEFAULT_TEAM_ID, meeting_id))


@router.get("/captions", responses=problem_responses(404))
async def list_captions(
    meeting_id: UUID, services: ServicesDep, language: Annotated[Language | None, Query()] = None
) -> CaptionList:
    """List the captions of a meeting, in all its languages or in one."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        captions = await transcript_queries.read_captions(conn, DEFAULT_TEAM_ID, meeting_id, language=language)
    return CaptionList(captions=captions)
