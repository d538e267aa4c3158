"""The envelope: one item of a meeting's log on its way through a lane, with the result of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.entries import LogItem
from operators.note_requests import NoteRequest
from operators.stream import ChunkUpdate, SentenceChanges
from operators.translation_requests import TranslationRequest
from storage.batch_commit.batch_changes import DeadLetter


@dataclass(frozen=True, slots=True)
class Restored:
    """Restores a meeting from its committed states, at the start of its lane or after a handover from another lane.

    `states` holds the state of each step, by the step's name.
    """

    meeting_id: str
    states: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Failed:
    """Ends a meeting whose stored state can't be read.

    Attributes:
        at: when it failed (ms).
        reason: which part can't be read, and why.
        state: the unreadable state, as it is stored.
    """

    meeting_id: str
    at: int
    reason: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One item on its way from the log to the sink.

    Attributes:
        team_id, meeting_id: whose item it is; `?` where an unreadable entry does not say, empty where only the lane's
            position advances.
        n: ordinal of the meeting's last entry.
        log_id: the log's id up to which everything of this meeting is processed.
        item: the entry or tick, or what restores or fails a meeting. None where the source keeps an entry as a dead letter,
            and where only the lane's position advances.
        dead_letter: the entry and the reason why it could not be processed, if so; the later steps skip it.
        update: what the item means once repeats are gone, from the step `dedup`.
        sentences: what was emitted and retracted, and the interim texts, from the step `sentences`.
        requests: the translations that are requested, from the step `context`.
        note_request: the note that is requested, from the step `notes`.
        states: the immutable state of each step after this item, by the step's name, and that of the ticks as `ticks`.
        accepted_at: when the ingest API accepted the meeting's last entry (seconds since the epoch).
        read_at: when the lane read this item (seconds since the epoch).
    """

    team_id: str
    meeting_id: str
    n: int
    log_id: str
    item: LogItem | Restored | Failed | None
    dead_letter: DeadLetter | None = None
    update: ChunkUpdate | None = None
    sentences: SentenceChanges = field(default_factory=SentenceChanges)
    requests: tuple[TranslationRequest, ...] = ()
    note_request: NoteRequest | None = None
    states: Mapping[str, object] = field(default_factory=dict[str, object])
    accepted_at: float = 0.0
    read_at: float = 0.0
