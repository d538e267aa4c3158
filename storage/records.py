"""What the repositories hand out: rows of the tables as immutable values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from operators.model import Clock, MeetingConfig
from operators.translation_requests import CaptionStatus

DEFAULT_TEAM_ID = "default"

MeetingStatus = Literal["created", "live", "paused", "ended", "timed_out", "failed"]
OPEN_STATUSES: tuple[MeetingStatus, ...] = ("created", "live", "paused")
CLOSED_STATUSES: tuple[MeetingStatus, ...] = ("ended", "timed_out", "failed")
"""Of these only `timed_out` may pass: speech begins the meeting's next generation."""
EXPECTED_COUNTERS = frozenset({"translated", "same", "cached", "timed_out"})
"""What a meeting counts that is as it should be. The rest is trouble, and a live event tells of each change of it."""
OutboxEventKind = Literal["sentence", "retracted", "caption", "status"]


@dataclass(frozen=True, slots=True)
class MeetingRecord:
    """A meeting.

    `last_committed` is the last committed ordinal, `last_accepted` the last one known to be accepted, `moves` counts its
    changes of lane, `seq` is the last live event's.
    """

    id: UUID
    team_id: str
    external_id: str | None
    title: str
    clock: Clock
    status: MeetingStatus
    lane_id: str
    config: MeetingConfig
    generation: int
    last_committed: int
    log_id: str | None
    moves: int
    last_accepted: int
    counters: dict[str, int]
    seq: int
    began_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SentenceRecord:
    """A sentence as stored: its last revision. Times are seconds from the meeting's start."""

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
    retracted: bool


@dataclass(frozen=True, slots=True)
class CaptionRecord:
    """A sentence in a language.

    `revision` is the sentence's revision that it translates, `warnings` names what of that it may lack; `attempts` counts
    requests over all revisions.
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
    """A live event of a meeting. `seq` has no gap within a meeting; what repeats a `seq` is the same event."""

    team_id: str
    meeting_id: str
    seq: int
    kind: OutboxEventKind
    payload: dict[str, Any]
