"""Reference fold: applies the operators to a meeting's items one by one, as `flows.lane.stateful_step` does, without a dataflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from flows.lane.envelope import Envelope, Failed, Restored
from flows.lane.pipeline import STEPS
from operators.entries import Entry, LogItem, MeetingMoved
from operators.stream import ChunkUpdate, SentenceChanges
from operators.translation_requests import TranslationRequest

FoldStep = tuple[LogItem, ChunkUpdate, SentenceChanges, tuple[TranslationRequest, ...]]
"""An item of a meeting, with each operator's output."""


class MeetingFold:
    """The fold of one meeting.

    Args:
        states: the operators' states, by step name. None for the initial states.

    Attributes:
        steps: each processed item with the operators' outputs.
    """

    def __init__(self, states: Mapping[str, Any] | None = None) -> None:
        self._states: dict[str, Any] = dict(states or _initial_states())
        self.steps: list[FoldStep] = []

    def apply(self, envelope: Envelope) -> Envelope:
        """Apply the operators to an envelope. Returns the envelope with their outputs."""
        item = envelope.item
        if isinstance(item, Restored):
            self._states = dict(item.states)
        elif isinstance(item, Failed):
            return envelope
        elif item is not None and envelope.dead_letter is None and not _is_move(item):
            for stage in STEPS:
                self._states[stage.name], envelope = stage.run(self._states[stage.name], envelope)
            assert envelope.update is not None
            assert not isinstance(item, Restored)
            self.steps.append((item, envelope.update, envelope.sentences, envelope.requests))  # type: ignore[arg-type]
        states = {**envelope.states, **self._states}
        if _is_move(item) or (envelope.update is not None and envelope.update.meeting_ended):
            self._states = _initial_states()
        return replace(envelope, states=states)

    def dump(self) -> bytes:
        """Serialize the states as they are stored."""
        return orjson.dumps({stage.name: stage.dump(self._states[stage.name]) for stage in STEPS})

    @classmethod
    def load(cls, dumped: bytes) -> MeetingFold:
        """Build a fold that continues from stored states."""
        stored = orjson.loads(dumped)
        return cls({stage.name: stage.load(stored[stage.name]) for stage in STEPS})


class MeetingFolds:
    """The folds of several meetings."""

    def __init__(self) -> None:
        self.by_meeting: dict[str, MeetingFold] = {}

    def apply(self, envelopes: Iterable[Envelope]) -> list[Envelope]:
        """Apply the operators to each envelope with its meeting's states."""
        return [
            self.by_meeting.setdefault(envelope.meeting_id, MeetingFold()).apply(envelope) for envelope in envelopes
        ]


def _initial_states() -> dict[str, Any]:
    return {stage.name: stage.initial() for stage in STEPS}


def _is_move(item: object) -> bool:
    return isinstance(item, Entry) and isinstance(item.payload, MeetingMoved)
