"""Routes for dead letters: entries that could not be processed, to inspect and to resubmit."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from operators.entries import Chunk
from operators.errors import ConflictError
from serve.http.dependencies.services import ServicesDep
from serve.http.ingest_routes import build_conflict_error, refuse_if_lagging
from serve.http.problems import problem_responses
from storage.postgres import dead_letter_queue, transcript_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/dead-letters", tags=["dead letters"])

_MAX_ID = 2**63 - 1
DeadLetterId = Annotated[int, Path(ge=1, le=_MAX_ID)]


class DeadLetterSummary(BaseModel):
    """A dead letter without its content. `kind` and `ordinal` (its place in the meeting) are null if they are unknown."""

    id: int
    meeting_id: UUID | None
    kind: str | None
    ordinal: int | None
    reason: str
    created_at: datetime
    resubmitted_at: datetime | None


class DeadLetterDetail(DeadLetterSummary):
    """A dead letter with its content: `fields` is the entry as it was in the log, transcript text included."""

    lane_id: str
    log_id: str
    fields: dict[str, Any]


class DeadLetterPage(BaseModel):
    """Dead letters, newest first. Send `before` to get the next page; it is null on the last page."""

    dead_letters: list[DeadLetterSummary]
    before: int | None


class ResubmitResult(BaseModel):
    """The chunk of `meeting_id` as which a dead letter was resubmitted.

    `adds_sentences` says whether the chunk was closed, so that its text becomes new sentences beside those it has.
    """

    id: int
    meeting_id: UUID
    event_id: str
    chunk_id: str
    resubmitted_at: datetime
    adds_sentences: bool


@router.get("")
async def list_dead_letters(
    services: ServicesDep,
    meeting: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
) -> DeadLetterPage:
    """List the dead letters without their content, newest first; with `meeting`, those of that meeting only."""
    async with services.database.connect() as conn:
        # One more than the page shows whether there is a next page.
        letters = await dead_letter_queue.list_dead_letters(
            conn, DEFAULT_TEAM_ID, meeting_id=meeting, limit=limit + 1, before=before
        )
    page = letters[:limit]
    return DeadLetterPage(
        dead_letters=[DeadLetterSummary.model_validate(letter, from_attributes=True) for letter in page],
        before=page[-1].id if len(letters) > limit else None,
    )


@router.get("/{letter_id}", responses=problem_responses(404))
async def get_dead_letter(letter_id: DeadLetterId, services: ServicesDep) -> DeadLetterDetail:
    """Get a dead letter with its content."""
    async with services.database.connect() as conn:
        return DeadLetterDetail.model_validate(
            await dead_letter_queue.read_dead_letter(conn, DEFAULT_TEAM_ID, letter_id), from_attributes=True
        )


@router.post("/{letter_id}/resubmit", responses=problem_responses(404, 409, 429))
async def resubmit_dead_letter(letter_id: DeadLetterId, services: ServicesDep) -> ResubmitResult:
    """Append the chunk of a dead letter to its meeting's log again. A second call for the same letter changes nothing.

    The chunk keeps its id, and becomes its latest revision. If the chunk is closed, its sentences can't change any more, and the
    text becomes new sentences beside them. 409 says why a letter can't be resubmitted: for example, because the closed chunk has
    the same text already, or because the text is empty.
    """
    async with services.database.connect() as conn:
        letter = await dead_letter_queue.read_dead_letter(conn, DEFAULT_TEAM_ID, letter_id)
    event = dead_letter_queue.to_resubmitted_event(letter)
    if letter.meeting_id is None:
        raise ConflictError("no_meeting", "the letter belongs to no meeting, so it can't be resubmitted")
    chunk = event.payload
    assert isinstance(chunk, Chunk)  # noqa: S101 - `to_resubmitted_event` makes events of chunks only
    if letter.resubmitted_at is None:
        if letter.is_late_revision:
            async with services.database.connect() as conn:
                sentences = await transcript_queries.read_sentences(conn, DEFAULT_TEAM_ID, letter.meeting_id)
            dead_letter_queue.require_new_text(letter, chunk, sentences)
        log_info = await services.log.read_state(str(letter.meeting_id))
        # If the log has forgotten how far a recording was, the current time is surely later.
        event = replace(event, at_ms=log_info.last_arrived_at_ms if log_info is not None else int(time.time() * 1000))
        await refuse_if_lagging(services, letter.meeting_id, [event], 1)
        (result,) = await services.meetings.append(DEFAULT_TEAM_ID, letter.meeting_id, [event])
        if result.reason is not None:
            raise build_conflict_error(result.reason)
        async with services.database.begin() as conn:
            letter = await dead_letter_queue.mark_resubmitted(conn, DEFAULT_TEAM_ID, letter_id)
    assert letter.meeting_id is not None  # noqa: S101 - a letter without a meeting was refused above
    assert letter.resubmitted_at is not None  # noqa: S101 - `mark_resubmitted` sets it
    return ResubmitResult(
        id=letter.id,
        meeting_id=letter.meeting_id,
        event_id=event.event_id,
        chunk_id=chunk.chunk_id,
        resubmitted_at=letter.resubmitted_at,
        adds_sentences=letter.is_late_revision,
    )
