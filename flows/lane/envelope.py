"""What flows through a lane: an item of one meeting's log, and what each step made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.model import Item, Sentences, Update
from operators.translation import TranslationRequest
from storage.changes import DeadLetter


@dataclass(frozen=True, slots=True)
class Restored:
    """Takes a meeting up where its states were committed: when its lane starts, or when it arrives from another one.

    `states` holds the state of each step, by the step's name.
    """

    meeting_id: str
    states: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Failed:
    """A meeting that can't go on at `at` (ms), and why. `state` is what could not be read, as it was stored."""

    meeting_id: str
    at: int
    reason: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One item on its way from the log to the sink.

    Attributes:
        n: ordinal of the meeting's last entry.
        log_id: the log's id up to which this meeting has seen everything.
        item: the entry or tick, or what restores a meeting or fails it; None for an entry that can't be read, and where
            the log holds nothing to be done up to this id.
        dead: why the item could not be used, where it couldn't; the steps after that leave it alone.
        states: the immutable state of each step after this item, by the step's name.
        accepted, read: when the door took the meeting's last entry, and when the lane read this (seconds since the epoch).
    """

    team_id: str
    meeting_id: str
    n: int
    log_id: str
    item: Item | Restored | Failed | None
    dead_letter: DeadLetter | None = None
    update: Update | None = None
    sentences: Sentences = field(default_factory=Sentences)
    requests: tuple[TranslationRequest, ...] = ()
    states: Mapping[str, object] = field(default_factory=dict[str, object])
    accepted_at: float = 0.0
    read_at: float = 0.0
