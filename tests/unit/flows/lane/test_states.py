"""flows/lane/state_upgrades.py: states that older versions stored are upgraded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.lane.pipeline import STEPS
from operators import context_window, dedup
from operators.context_window import WindowSentence
from operators.meeting_config import MeetingConfig
from operators.sentences import tracker

# Written by the version whose states had schema 2.
SCHEMA_2 = json.loads((Path(__file__).parent / "states_of_schema_2.json").read_text())


def load_state(name: str, stored: dict[str, Any]) -> Any:
    return next(step for step in STEPS if step.name == name).load(stored)


def test_open_chunks_of_schema_1_are_not_final() -> None:
    state = {"team_id": "t", "meeting_id": "m", "n": 2, "began": 5, "open": {"a": [2, 7, "d", "Ann", 0.5]}, "marks": {}}
    chunk = dedup.OpenChunk(2, 7, "d", "Ann", 0.5, is_final=False)
    assert load_state("dedup", {"schema": 1, "state": state}) == dedup.DedupState("t", "m", 2, 5, {"a": chunk})


def test_sentence_states_of_schema_1_have_no_retracted_chunks() -> None:
    state = {"voices": {"Ann": [[], [0, 0, 0, [], 0, False], [], ["", "", 0]]}, "gone": {}, "reach": 2.5}
    assert load_state("sentences", {"schema": 1, "state": state}) == tracker.TrackerState(
        {"Ann": tracker.SpeakerState()}, {}, 2.5
    )


def test_a_dedup_state_of_schema_2_keeps_its_chunks_and_watermarks() -> None:
    state = load_state("dedup", SCHEMA_2["dedup"])
    assert isinstance(state, dedup.DedupState)
    assert (state.meeting_id, state.n, state.began_at) == ("m", 8, 0)
    open_ordinals = {chunk_id: chunk.first_ordinal for chunk_id, chunk in state.open_chunks.items()}
    assert open_ordinals == {"b": 3, "c": 6, "d": 7, "e": 8}
    assert state.watermarks == {"Ann": dedup.ClosedWatermark(0.0, ("a",))}


def test_a_dedup_state_of_schema_3_has_no_renamed_speakers() -> None:
    fields = {"team_id": "t", "meeting_id": "m", "n": 1, "began_at": 5, "open_chunks": {}, "watermarks": {}}
    assert load_state("dedup", {"schema": 3, "state": fields}) == dedup.DedupState("t", "m", 1, 5)


def test_a_sentence_state_of_schema_2_keeps_its_speakers_and_detached_sentences() -> None:
    state = load_state("sentences", SCHEMA_2["sentences"])
    assert isinstance(state, tracker.TrackerState)
    assert {
        speaker: [sentence.segment.text for sentence in speaker_state.sentences]
        for speaker, speaker_state in state.speakers.items()
    } == {"Ann": ["Good morning."], "Bo": ["Let us begin Who is here Me too."]}
    assert [detached.sentence.first_text for detached in state.detached.values()] == ["Yes."]
    assert [detached.sentence.is_retracted for detached in state.detached.values()] == [True]
    chunks = {speaker: [chunk.ordinal for chunk in state.speakers[speaker].chunks] for speaker in state.speakers}
    assert chunks == {"Ann": [2, 3], "Bo": [6, 7, 8]}
    assert [chunk.chunk_id for chunk in state.speakers["Ann"].chunks if not chunk.text] == ["b"]
    assert (state.speech_watermark, state.language) == (99.0, "en")


def test_no_sentence_of_schema_4_has_a_users_text() -> None:
    state = load_state("sentences", SCHEMA_2["sentences"])
    step = next(step for step in STEPS if step.name == "sentences")
    stored = json.loads(step.dump(state)["state"])
    for sentence in (*(each for speaker in stored["speakers"].values() for each in speaker[2]),):
        assert sentence.pop() is None
    for _, sentence in stored["detached"].values():
        assert sentence.pop() is None
    assert load_state("sentences", {"schema": 4, "state": stored}) == state


def test_a_context_state_of_schema_2_keeps_its_sentences() -> None:
    assert load_state("context", SCHEMA_2["context"]) == context_window.WindowState(
        MeetingConfig(source_language="en", target_languages=("pt",)),
        (WindowSentence(0.0, 2, 0, "Ann", "Good morning."), WindowSentence(90.0, 6, 0, "Bo", "Let us begin")),
    )


def test_an_upgraded_state_is_stored_with_the_newest_schema() -> None:
    for step in STEPS:
        dumped = step.dump(step.restore(SCHEMA_2))
        assert (dumped["schema"], step.load(dumped)) == (step.schema, step.restore(SCHEMA_2))


def test_a_step_of_this_release_begins_without_a_stored_state() -> None:
    for step in STEPS:
        if step.is_new:
            assert step.restore({}) == step.initial()
        else:
            with pytest.raises(KeyError):
                step.restore({})
