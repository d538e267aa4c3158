"""Notes as immutable values. The HTTP API describes and returns `Note` and `NoteRevision`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from operators.insight_requests import Insight
from operators.note_requests import NoteRequest, NoteSentence

NoteKind = Literal["auto", "manual", "analysis"]
StoredNoteStatus = Literal["pending", "ready", "failed", "withdrawn"]
NoteStatus = StoredNoteStatus | Literal["deleted"]
NoteCause = Literal["requested", "generated", "failed", "changed"]
"""What happened to a note: it is to be written, was written or could not be written by the model; or another change."""


class Note(BaseModel, frozen=True):
    """A note on a part of a meeting.

    - `kind`: `auto` for a running note, `manual` for a user's own, `analysis` for what the model wrote about a selection. `task`
      has the user's words about a selection.
    - `status`: `pending` before the first text, `failed` if that could not be written, `withdrawn` if all sentences were
      retracted. A `deleted` note is only reported.
    - `revision` counts its texts. `finish` is `length` if the text was cut off.
    - `edited`: whether a user wrote the present text. `outdated`: whether a sentence changed since.
    - `sentences`: the ids of the sentences that it rests on. `start` and `end` are seconds from the meeting's start.
    """

    id: UUID
    kind: NoteKind
    status: NoteStatus
    revision: int
    text: str | None
    language: str
    task: str
    engine: str | None
    finish: str | None
    reason: str | None
    pinned: bool
    edited: bool
    outdated: bool
    start: float
    end: float
    sentences: tuple[str, ...]

    def to_payload(self, cause: NoteCause) -> dict[str, Any]:
        """Return the fields that live events have, with what happened to the note."""
        return {**self.model_dump(mode="json"), "cause": cause}


class NoteRevision(BaseModel, frozen=True):
    """A text of a note. `engine` is null if a user wrote it."""

    revision: int
    text: str
    engine: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NoteResult:
    """The result of a request for a note.

    Attributes:
        request: the request, with the sentences that the note rests on.
        insight: the note; without one it is requested again.
        reason: why there is no note.
        has_failed: whether the service failed. Otherwise it was not called, or had no time.
        retracted: the note's sentences that were retracted when the note was requested. They may come back.
    """

    request: NoteRequest
    insight: Insight | None
    reason: str | None = None
    has_failed: bool = False
    retracted: tuple[NoteSentence, ...] = ()
