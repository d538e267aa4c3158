"""Routes for a meeting's speakers: who spoke, and how they are named."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, field_validator

from operators.entries import SpeakerRenamed
from operators.errors import InvalidInputError, NotFoundError
from operators.fields import SpeakerLabel, StrictModel
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from storage.postgres import meeting_queries, speaker_names
from storage.postgres.speaker_names import SpeakerSummary
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}/speakers", tags=["speakers"])


class Speakers(BaseModel):
    """A meeting's speakers, in the order of their first sentences. `seconds` is how long a speaker spoke."""

    speakers: list[SpeakerSummary]


class RenameSpeakerRequest(StrictModel):
    """A speaker, and the new name. `speaker_id` is needed only if several speakers have the same name."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"speaker": "Speaker 1", "speaker_id": "spk-1", "name": "Ann"}]}
    )

    speaker: SpeakerLabel
    speaker_id: SpeakerLabel | None = None
    name: SpeakerLabel

    @field_validator("name")
    @classmethod
    def _refuse_control_characters(cls, name: str) -> str:
        if any(unicodedata.category(character) == "Cc" for character in name):
            raise ValueError("must not contain control characters")
        return name


class RenameSpeakerResult(BaseModel):
    """The speaker's new name and id.

    The rename takes effect at the entry with this `ordinal`. In an ended meeting it is done already, and `ordinal` is null.
    `merged` says whether another speaker had the name: the two are now one.
    """

    ordinal: int | None
    speaker: str
    speaker_id: str | None
    merged: bool


@router.get("", responses=problem_responses(404))
async def list_speakers(meeting_id: UUID, services: ServicesDep) -> Speakers:
    """List the speakers of a meeting, with the number of their sentences and how long they spoke."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        return Speakers(speakers=await speaker_names.list_speakers(conn, DEFAULT_TEAM_ID, meeting_id))


@router.post("/rename", status_code=202, responses=problem_responses(404))
async def rename_speaker(meeting_id: UUID, request: RenameSpeakerRequest, services: ServicesDep) -> RenameSpeakerResult:
    """Rename a speaker, in all sentences of the meeting so far and in all that follow.

    If another speaker has the name, the two are merged. That can't be undone. Earlier sentences get a new revision, and keep
    their translations. A meeting that had timed out is opened again, as by any other entry.
    """
    speakers = (await list_speakers(meeting_id, services)).speakers
    renamed, merged = _build_entry(speakers, request)
    ordinal = await services.meetings.edit_transcript(DEFAULT_TEAM_ID, meeting_id, renamed)
    return RenameSpeakerResult(
        ordinal=ordinal, speaker=renamed.new_speaker, speaker_id=renamed.new_speaker_id, merged=merged
    )


def _build_entry(speakers: Sequence[SpeakerSummary], request: RenameSpeakerRequest) -> tuple[SpeakerRenamed, bool]:
    """Build the entry of a rename, and tell whether it merges two speakers."""
    found = [known for known in speakers if known.speaker == request.speaker]
    if "speaker_id" in request.model_fields_set:
        found = [known for known in found if known.speaker_id == request.speaker_id]
    if not found:
        raise NotFoundError("the meeting has no sentence of this speaker; /speakers lists its speakers")
    if len(found) > 1:
        raise InvalidInputError("speaker_id", "must be given: several speakers have this name")
    namesakes = [known for known in speakers if known.speaker == request.name and known != found[0]]
    if len(namesakes) > 1:
        raise InvalidInputError("name", "belongs to several speakers; give all but one of them another name first")
    if not namesakes and request.name == request.speaker:
        raise InvalidInputError("name", "must be another name than the present one")
    new_id = namesakes[0].speaker_id if namesakes else found[0].speaker_id
    renamed = SpeakerRenamed(
        speaker=request.speaker,
        speaker_id=found[0].speaker_id,
        new_speaker=request.name,
        new_speaker_id=new_id,
    )
    return renamed, bool(namesakes)
