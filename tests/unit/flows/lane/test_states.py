"""flows/lane/pipeline.py: states that older versions stored are upgraded."""

from __future__ import annotations

from typing import Any

from flows.lane.pipeline import STEPS
from operators import dedup
from operators.sentences import tracker


def load_state(name: str, stored: dict[str, Any]) -> Any:
    return next(step for step in STEPS if step.name == name).load(stored)


def test_open_chunks_of_schema_1_are_not_final() -> None:
    state = {"team_id": "t", "meeting_id": "m", "n": 2, "began": 5, "open": {"a": [2, 7, "d", "Ann", 0.5]}, "marks": {}}
    chunk = dedup.OpenChunk(2, 7, "d", "Ann", 0.5, is_final=False)
    assert load_state("dedup", {"schema": 1, "state": state}) == dedup.State("t", "m", 2, 5, {"a": chunk})


def test_sentence_states_of_schema_1_have_no_retracted_chunks() -> None:
    state = {"voices": {"Ann": [[], [0, 0, 0, [], 0, False], [], ["", "", 0]]}, "gone": {}, "reach": 2.5}
    assert load_state("sentences", {"schema": 1, "state": state}) == tracker.State(
        {"Ann": tracker.SpeakerState()}, {}, 2.5
    )
