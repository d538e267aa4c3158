"""Routes for corrections of a meeting's sentences by users."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from operators.entries import SentenceCorrected
from operators.errors import ConflictError
from operators.fields import SentenceText, StrictModel
from operators.stream import Sentence
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.problems import problem_response, problem_responses
from storage.postgres import meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}/sentences/{sentence_id}", tags=["transcripts"])

SentenceId = Annotated[str, Path(pattern=r"^[0-9]+\.[0-9]+$", max_length=40)]


class CorrectSentenceRequest(StrictModel):
    """A user's text of a sentence. `revision` is the one that the user saw."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Ask legal about clause 4.", "revision": 2}]})

    text: SentenceText
    revision: Annotated[int, Field(ge=1)]


class CorrectionResult(BaseModel):
    """The text that the sentence gets.

    The correction takes effect at the entry with this `ordinal`. A live event of the sentence follows. In an ended meeting it is
    done already, and `ordinal` is null. It is also null if the sentence has the text already.
    """

    ordinal: int | None
    text: str


@router.patch("", status_code=202, response_model=CorrectionResult, responses=problem_responses(404, 409))
async def correct_sentence(
    meeting_id: UUID, sentence_id: SentenceId, request: CorrectSentenceRequest, services: ServicesDep
) -> CorrectionResult | JSONResponse:
    """Correct the text of a sentence. The source's text is kept, and later revisions of the source change only that.

    Captions are translated again, and notes that rest on the sentence are outdated. 409 means that the sentence has another
    revision by now: `sentence` is its present state. A meeting that had timed out is opened again, as by any other entry.
    """
    sentence = await _read_sentence(services, meeting_id, sentence_id)
    # The text first, so that a request that is sent again is no conflict.
    if request.text == sentence.text:
        return CorrectionResult(ordinal=None, text=sentence.text)
    if sentence.revision != request.revision:
        detail = f"the sentence has revision {sentence.revision} by now: `sentence` is its present state"
        return problem_response("refused", 409, detail, reason="changed", sentence=asdict(sentence))
    return await _append(services, meeting_id, sentence, request.text)


@router.delete("/correction", status_code=202, responses=problem_responses(404, 409))
async def delete_correction(meeting_id: UUID, sentence_id: SentenceId, services: ServicesDep) -> CorrectionResult:
    """Delete the correction of a sentence: it has the source's text again. 409 means that no user corrected it."""
    sentence = await _read_sentence(services, meeting_id, sentence_id)
    if sentence.original_text is None:
        raise ConflictError("not_corrected", "the sentence has the source's text; there is no correction to delete")
    return await _append(services, meeting_id, sentence, sentence.original_text, restores_source=True)


async def _read_sentence(services: Services, meeting_id: UUID, sentence_id: str) -> Sentence:
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        return await transcript_queries.read_sentence(conn, DEFAULT_TEAM_ID, meeting_id, sentence_id)


async def _append(
    services: Services, meeting_id: UUID, sentence: Sentence, text: str, *, restores_source: bool = False
) -> CorrectionResult:
    correction = SentenceCorrected(
        sentence_id=sentence.id, previous_text=sentence.text, text=text, restores_source=restores_source
    )
    ordinal = await services.meetings.edit_transcript(DEFAULT_TEAM_ID, meeting_id, correction)
    return CorrectionResult(ordinal=ordinal, text=text)
