"""Routes for the captions on older clients' screens: what is shown, counts, added speech, and the clearing of the screens."""

from __future__ import annotations

import time
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from operators.characters import require_storable
from operators.errors import InvalidInputError
from operators.fields import MAX_SPEECH_S, Language, SpeakerLabel, StrictModel, require_non_blank
from serve.http.captions.screen import CaptionView, choose_language, find_meeting, read_screen, to_view
from serve.http.dependencies.services import ServicesDep
from serve.http.ingest_routes import append_valid_events, build_conflict_error
from serve.http.problems import BatchValidationError, problem_responses
from storage import redis_keys
from storage.postgres import transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/captions/{session_id}", tags=["captions of older clients"])

CLEARED_S = 60
"""Seconds for which the clearing of the screens is kept. Captions leave them earlier."""
WORD_S = 0.4
"""Seconds that a word of added speech takes, if its end isn't known."""


class CaptionList(BaseModel):
    """The captions on the screen, the oldest one first."""

    captions: list[CaptionView]


class CaptionStats(BaseModel):
    """Counts of a session. `captions` counts those of all languages by status."""

    session_id: UUID
    meeting_id: UUID
    status: str
    sentences: int
    speakers: int
    captions: dict[str, int]


class AddCaptionRequest(StrictModel):
    """Speech to add. Without `start_time` it is spoken now; without `end_time` a word takes 0.4 seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Good morning.", "speaker_name": "Ann"}]})

    text: Annotated[str, Field(max_length=20_000), AfterValidator(require_non_blank), AfterValidator(require_storable)]
    speaker_name: SpeakerLabel = "Speaker"
    start_time: Annotated[float, Field(ge=0, le=MAX_SPEECH_S)] | None = None
    end_time: Annotated[float, Field(ge=0, le=MAX_SPEECH_S)] | None = None

    @model_validator(mode="after")
    def _require_order(self) -> AddCaptionRequest:
        if self.end_time is not None and (self.start_time is None or self.end_time < self.start_time):
            raise ValueError("end_time must not be before start_time")
        return self


class AddedCaption(BaseModel):
    """The id of the added chunk of speech."""

    chunk_id: str


@router.get("", responses=problem_responses(404))
async def get_current_captions(
    session_id: UUID, services: ServicesDep, target_language: Annotated[Language | None, Query()] = None
) -> CaptionList:
    """Get the captions that are on the screen now: those of the last seconds, five at most."""
    async with services.database.connect() as conn:
        meeting = await find_meeting(conn, session_id)
    language = choose_language(meeting, target_language)
    screen = await read_screen(services, meeting.id, language)
    return CaptionList(captions=[to_view(caption, language) for caption in screen.display.captions])


@router.get("/stats", responses=problem_responses(404))
async def get_caption_stats(session_id: UUID, services: ServicesDep) -> CaptionStats:
    """Count the sentences, speakers and captions of a session."""
    async with services.database.connect() as conn:
        meeting = await find_meeting(conn, session_id)
        sentences = await transcript_queries.read_sentences(conn, DEFAULT_TEAM_ID, meeting.id)
        captions = await transcript_queries.read_captions(conn, DEFAULT_TEAM_ID, meeting.id)
    counts: dict[str, int] = {}
    for caption in captions:
        counts[caption.status.value] = counts.get(caption.status.value, 0) + 1
    return CaptionStats(
        session_id=session_id,
        meeting_id=meeting.id,
        status=meeting.status,
        sentences=len(sentences),
        speakers=len({(sentence.speaker, sentence.speaker_id) for sentence in sentences}),
        captions=counts,
    )


@router.post("", status_code=202, responses=problem_responses(404, 409, 429))
async def add_caption(session_id: UUID, request: AddCaptionRequest, services: ServicesDep) -> AddedCaption:
    """Add speech to the meeting, as a source does. It becomes sentences and captions."""
    async with services.database.connect() as conn:
        meeting = await find_meeting(conn, session_id)
    start = request.start_time
    if start is None:
        start = max(0.0, time.time() - (meeting.began_at or meeting.created_at).timestamp())
        if start > MAX_SPEECH_S:
            raise InvalidInputError("start_time", "must be given: the meeting began more than a week ago")
    end = request.end_time
    if end is None:
        end = min(MAX_SPEECH_S, start + WORD_S * len(request.text.split()))
    chunk_id = str(uuid4())
    chunk = {
        "chunk_id": chunk_id,
        "speaker": request.speaker_name,
        "text": request.text,
        "start": start,
        "end": end,
        "is_final": True,
    }
    results, errors = await append_valid_events(services, meeting.id, [{"event_id": chunk_id, "payload": chunk}])
    if errors:
        raise BatchValidationError(errors, {})
    if results.refused:
        raise build_conflict_error(results.results[0].reason or "ended")
    return AddedCaption(chunk_id=chunk_id)


@router.delete("", status_code=204, response_class=Response, responses=problem_responses(404))
async def delete_captions(session_id: UUID, services: ServicesDep) -> None:
    """Clear the screens of all clients. The transcript stays as it is."""
    async with services.database.connect() as conn:
        meeting = await find_meeting(conn, session_id)
    await services.redis.set(redis_keys.captions_cleared(str(meeting.id)), str(time.time()), ex=CLEARED_S)
