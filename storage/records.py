"""Rows of the tables as immutable values, which the repositories return.

The HTTP API describes and returns `Caption` as it is, and `operators.stream.Sentence` for a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from operators.meeting_config import Clock, MeetingConfig
from operators.translation_requests import CaptionStatus

DEFAULT_TEAM_ID = "default"

MeetingStatus = Literal["created", "live", "paused", "ended", "timed_out", "failed"]
OPEN_STATUSES: tuple[MeetingStatus, ...] = ("created", "live", "paused")
CLOSED_STATUSES: tuple[MeetingStatus, ...] = ("ended", "timed_out", "failed")
"""Statuses of a meeting that is over. Only `timed_out` isn't final: speech starts the meeting's next generation."""
EXPECTED_COUNTERS = frozenset({"translated", "same", "cached", "timed_out"})
"""Counters of normal outcomes. All others count problems, and a live event reports each change of them."""
OutboxEventKind = Literal["sentence", "retracted", "caption", "status"]


@dataclass(frozen=True, slots=True)
class MeetingRecord:
    """A meeting.

    Attributes:
        last_committed: ordinal of the last committed entry.
        log_id: the log's id to read on from; None before the log was opened.
        moves: number of its completed moves to another lane.
        last_accepted: ordinal of the last entry known to be accepted.
        seq: of its last live event.
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
    """A live event of a meeting. `seq` has no gap within a meeting; two events with the same `seq` are the same event."""

    team_id: str
    meeting_id: str
    seq: int
    kind: OutboxEventKind
    payload: dict[str, Any]
