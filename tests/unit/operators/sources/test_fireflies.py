"""Fireflies' broadcasts in all their shapes become chunks, and a repeated broadcast never becomes new text."""

from __future__ import annotations

from typing import Any

import pytest

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.sources import AdapterContext
from operators.sources.fireflies import FIREFLIES, UNKNOWN_SPEAKER, FirefliesState, sentence_to_chunk, step

CONTENT = {"chunk_id": "7", "text": "We ship.", "speaker_name": "Ann", "start_time": 1.5, "end_time": 2.5}


def chunks_of(*messages: dict[str, Any]) -> list[Chunk]:
    state, chunks = FirefliesState(), list[Chunk]()
    for message in messages:
        state, new = step(state, message, AdapterContext())
        chunks += new
    return chunks


def without(name: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in CONTENT.items() if key != name} | changes


@pytest.mark.parametrize(
    "message",
    [
        CONTENT,
        {"payload": CONTENT},
        {"data": CONTENT},
        {"type": "transcription.broadcast", "message": "x", "timestamp": "2026-11-30", "payload": CONTENT},
        {"type": "transcript", "data": CONTENT},
        {"id": 7, "content": "We ship.", "speaker": "Ann", "startTime": "1.5", "endTime": "2.5"},
        CONTENT | {"chunk_id": 7, "speaker_name": " Ann ", "unknown": {"a": 1}},
        dict.fromkeys(CONTENT)
        | {"id": 7, "content": "We ship.", "speaker": "Ann", "startTime": None, "start": 1.5, "end": 2.5},
    ],
)
def test_every_shape_gives_the_same_chunk(message: dict[str, Any]):
    assert chunks_of(message) == [
        Chunk(chunk_id="7", speaker="Ann", text="We ship.", start=1.5, end=2.5, source="fireflies")
    ]


@pytest.mark.parametrize("kind", ["connection.established", "auth.success", "something.new"])
def test_other_messages_have_no_chunk(kind: str):
    assert chunks_of({"type": kind, "payload": {"anything": 1}}) == []


def test_without_an_id_the_same_speaker_and_start_are_one_chunk():
    first, second = chunks_of(without("chunk_id"), without("chunk_id", text="We ship on Friday."))
    assert first.chunk_id == second.chunk_id
    (other,) = chunks_of(without("chunk_id", speaker_name="Bob"))
    assert other.chunk_id != first.chunk_id


def test_without_id_and_start_an_interim_text_is_one_chunk_and_another_text_is_not():
    chunks = chunks_of(
        *(
            {"text": text, "speaker_name": "Ann"}
            for text in ("We sh", "We ship", "We ship on Friday", "We ship on Friday.", "Then we rest for a week.")
        )
    )
    ids = [chunk.chunk_id for chunk in chunks]
    assert len(set(ids[1:4])) == 1
    assert ids[4] != ids[3]


def test_without_a_start_a_chunk_begins_at_the_latest_end_and_keeps_its_place():
    _, first, other, again = chunks_of(
        CONTENT,
        without("start_time", chunk_id="8", end_time=None),
        without("start_time", chunk_id="9", end_time=9.0),
        without("start_time", chunk_id="8", text="We ship now.", end_time=None),
    )
    assert (first.start, other.start, again.start) == (2.5, 2.5, 2.5)


def test_speech_without_a_speaker_has_a_stable_label():
    assert [chunk.speaker for chunk in chunks_of(without("speaker_name"), CONTENT | {"speaker_name": " "})] == [
        UNKNOWN_SPEAKER
    ] * 2


def test_an_end_before_the_start_is_the_start():
    assert chunks_of(CONTENT | {"end_time": 1.499})[0].end == 1.5


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (without("text"), "text"),
        (CONTENT | {"text": None}, "text"),
        (CONTENT | {"start_time": "soon"}, "start_time"),
        (CONTENT | {"start_time": -1}, "start"),
        (CONTENT | {"text": "a\x00b"}, "text"),
        (CONTENT | {"text": "a" * 20_001}, "text"),
    ],
)
def test_a_wrong_field_is_named(message: dict[str, Any], field: str):
    with pytest.raises(InvalidInputError) as caught:
        chunks_of(message)
    assert caught.value.field == field


def test_a_state_is_stored_as_json():
    state, _ = step(FirefliesState(), without("start_time"), AdapterContext())
    assert type(FIREFLIES.initial_state).model_validate_json(state.model_dump_json()) == state


def test_a_sentence_of_a_transcript_is_a_final_chunk():
    sentence = {"index": 3, "text": "We ship.", "raw_text": "we ship", "start_time": 1.5, "end_time": 2.5}
    assert sentence_to_chunk(sentence | {"speaker_name": "Ann", "speaker_id": 0}) == Chunk(
        chunk_id="sentence 1.500 Ann",
        speaker="Ann",
        text="We ship.",
        start=1.5,
        end=2.5,
        is_final=True,
        source="fireflies",
    )
    assert sentence_to_chunk(sentence | {"speaker_name": None}).speaker == UNKNOWN_SPEAKER
