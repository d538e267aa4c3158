"""Routes for a meeting's notes: running notes, a user's own, and the analysis of a selection."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from operators.characters import require_storable
from operators.fields import Language, Name, StrictModel, require_non_blank
from operators.insight_requests import InsightRole
from operators.note_buffer import note_language
from serve.http.dependencies.services import ServicesDep
from serve.http.intelligence.request_checks import require_engine, require_tokens
from serve.http.problems import problem_responses
from storage.notes import note_queries
from storage.notes.note_records import Note, NoteRevision
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/intelligence", tags=["intelligence"])

MAX_NOTE_CHARS = 20_000
"""Maximum length of a note that a user writes, in characters."""
MAX_TASK_CHARS = 2_000
"""Maximum length of what a user asks about a selection, in characters."""
MAX_SELECTED = 500
"""Most sentences that a note of a user may be about."""

NoteText = Annotated[
    str, Field(max_length=MAX_NOTE_CHARS), AfterValidator(require_non_blank), AfterValidator(require_storable)
]
SentenceIds = Annotated[tuple[Name, ...], Field(max_length=MAX_SELECTED)]


class NoteList(BaseModel):
    """Notes of a meeting, in the order of the speech. Send `before` to get the notes before them; it is null if there are none."""

    notes: list[Note]
    before: UUID | None


class NoteRevisionList(BaseModel):
    """The texts of a note, oldest first."""

    revisions: list[NoteRevision]


class CreateNoteRequest(StrictModel):
    """A note of a user. `sentences` has the ids of the sentences that it is about; it may be empty."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Ask legal about clause 4.", "sentences": ["12.0"], "pinned": True}]}
    )

    text: NoteText
    sentences: SentenceIds = ()
    language: Language | None = None
    pinned: bool = False


class AnalyzeRequest(StrictModel):
    """A task for the model about selected sentences. Without a language, the note is in that of the running notes."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"sentences": ["12.0", "13.0"], "task": "List the open questions."}]}
    )

    sentences: Annotated[SentenceIds, Field(min_length=1)]
    task: Annotated[
        str, Field(max_length=MAX_TASK_CHARS), AfterValidator(require_non_blank), AfterValidator(require_storable)
    ]
    language: Language | None = None


class ChangeNoteRequest(StrictModel):
    """What changes of a note: the text, whether it is pinned, or both. `revision` is the one that the change is based on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pinned": True}]})

    text: NoteText | None = None
    pinned: bool | None = None
    revision: int | None = None

    @model_validator(mode="after")
    def _require_change(self) -> ChangeNoteRequest:
        if self.text is None and self.pinned is None:
            raise ValueError("must have `text` or `pinned`")
        return self


@router.get("/sessions/{meeting_id}/notes", responses=problem_responses(404))
async def list_notes(
    meeting_id: UUID,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=note_queries.MAX_NOTES)] = note_queries.MAX_NOTES,
    before: UUID | None = None,
) -> NoteList:
    """List the last notes of a meeting, or those before a note, in the order of the speech."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        # One more than the page shows whether there are earlier notes.
        notes = await note_queries.list_notes(conn, DEFAULT_TEAM_ID, meeting_id, limit=limit + 1, before=before)
    page = notes[-limit:]
    return NoteList(notes=page, before=page[0].id if len(notes) > limit else None)


@router.post("/sessions/{meeting_id}/notes", status_code=201, responses=problem_responses(404, 409))
async def create_note(meeting_id: UUID, request: CreateNoteRequest, services: ServicesDep) -> Note:
    """Create a note of a user. The model never changes it."""
    async with services.database.begin() as conn:
        meeting = await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        sentences = await note_queries.read_note_sentences(conn, DEFAULT_TEAM_ID, meeting_id, request.sentences)
        return await note_queries.create_note(
            conn,
            DEFAULT_TEAM_ID,
            meeting_id,
            request.text,
            request.language or note_language(meeting.config),
            sentences,
            pinned=request.pinned,
        )


@router.post("/sessions/{meeting_id}/notes/analyze", status_code=202, responses=problem_responses(404, 409, 429))
async def analyze_sentences(meeting_id: UUID, request: AnalyzeRequest, services: ServicesDep) -> Note:
    """Have the model write a note on selected sentences. The note is pending at first; a live event follows its text."""
    async with services.database.begin() as conn:
        meeting = await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        await require_engine(conn, "insight")
        await require_tokens(conn, services, InsightRole.NOTE)
        sentences = await note_queries.read_note_sentences(conn, DEFAULT_TEAM_ID, meeting_id, request.sentences)
        return await note_queries.request_analysis(
            conn,
            DEFAULT_TEAM_ID,
            meeting_id,
            request.task,
            request.language or note_language(meeting.config),
            sentences,
        )


@router.patch("/notes/{note_id}", responses=problem_responses(404, 409))
async def change_note(note_id: UUID, request: ChangeNoteRequest, services: ServicesDep) -> Note:
    """Edit or pin a note. The model doesn't replace an edited text; it is marked as outdated if a sentence changes."""
    async with services.database.begin() as conn:
        return await note_queries.change_note(
            conn, DEFAULT_TEAM_ID, note_id, request.text, request.pinned, request.revision
        )


@router.delete("/notes/{note_id}", status_code=204, response_class=Response, responses=problem_responses(404))
async def delete_note(note_id: UUID, services: ServicesDep) -> None:
    """Delete a note."""
    async with services.database.begin() as conn:
        await note_queries.delete_note(conn, DEFAULT_TEAM_ID, note_id)


@router.get("/notes/{note_id}/revisions", responses=problem_responses(404))
async def list_note_revisions(note_id: UUID, services: ServicesDep) -> NoteRevisionList:
    """List the texts of a note, oldest first."""
    async with services.database.connect() as conn:
        return NoteRevisionList(revisions=await note_queries.read_revisions(conn, DEFAULT_TEAM_ID, note_id))
