"""Rows of the tables as immutable values, which the repositories return.

The HTTP API describes and returns `Meeting`, `Caption`, and `operators.stream.Sentence`. `MeetingRecord` adds internal columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from operators.entries import SpeakerRenamed
from operators.meeting_config import Clock, MeetingConfig
from operators.translation_requests import CaptionStatus

DEFAULT_TEAM_ID = "default"

MeetingStatus = Literal["created", "live", "paused", "ended", "timed_out", "failed"]
OPEN_STATUSES: tuple[MeetingStatus, ...] = ("created", "live", "paused")
CLOSED_STATUSES: tuple[MeetingStatus, ...] = ("ended", "timed_out", "failed")
"""Statuses of a meeting that is over. Only `timed_out` isn't final: speech starts the meeting's next generation."""
EXPECTED_COUNTERS = frozenset({"translated", "same", "cached", "timed_out"})
"""Counters of normal outcomes. All others count problems, and a live event reports each change of them."""
OutboxEventKind = Literal["sentence", "retracted", "caption", "note", "status"]
MeetingTransition = Literal["started", "ended"]
"""A change of a meeting's status that begins the meeting or its next generation, or that ends it."""


def meeting_transition(previous: MeetingStatus, status: MeetingStatus) -> MeetingTransition | None:
    """Return the transition from one status of a meeting to another; None if it neither begins nor ends the meeting."""
    if status in CLOSED_STATUSES:
        return None if previous in CLOSED_STATUSES else "ended"
    return "started" if status != "created" and previous in ("created", "timed_out") else None


class MeetingState(BaseModel, frozen=True):
    """A meeting without its config.

    `last_accepted` and `last_committed` are the ordinals of the last entry accepted and the last one processed. They are updated
    about once a second. `seq` is the number of the last live event. `counters` counts events that were late, repeated, refused,
    ignored, superseded, warned, dead or lost. `end_reason` says why the meeting is over, or why it failed.
    """

    id: UUID
    external_id: str | None
    title: str
    clock: Clock
    status: MeetingStatus
    lane_id: str
    generation: int
    last_committed: int
    last_accepted: int
    seq: int
    counters: dict[str, int]
    began_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    created_at: datetime


class Meeting(MeetingState, frozen=True):
    """A meeting with its config."""

    config: MeetingConfig


class MeetingRecord(Meeting, frozen=True):
    """A meeting's row.

    Attributes:
        log_id: the log's id to read on from; None before the log was opened.
        moves: number of its completed moves to another lane.
        speaker_renames: the renames of its speakers, in order.
    """

    team_id: str
    log_id: str | None
    moves: int
    speaker_renames: tuple[SpeakerRenamed, ...] = ()


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence's translation into one language.

    Attributes:
        revision: the sentence's revision that it translates.
        text: null while the caption is pending, and if there will be no translation.
        reason: why there is no translation.
        warnings: quality warnings, which name what the translation may lack: a number, a name, a term.
        version: number of final results over all revisions.
        attempts: number of requests over all revisions.
    """

    sentence_id: str
    revision: int
    language: str
    status: CaptionStatus
    text: str | None
    engine: str | None
    reason: str | None
    warnings: tuple[str, ...]
    version: int
    attempts: int


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A live event of a meeting. `seq` has no gap within a meeting; two events with the same `seq` are the same event.

    Attributes:
        transition: for a new event of the kind `status`, whether the meeting begins or ends by it.
    """

    team_id: str
    meeting_id: str
    seq: int
    kind: OutboxEventKind
    payload: dict[str, Any]
    transition: MeetingTransition | None = None
