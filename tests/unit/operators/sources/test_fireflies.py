"""Fireflies' broadcasts in all their shapes become chunks, and a repeated broadcast never becomes new text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.sources import AdapterContext
from operators.sources.fireflies import (
    FIREFLIES,
    MAX_RECENT_COUNT,
    UNKNOWN_SPEAKER,
    FirefliesState,
    sentence_to_chunk,
    step,
)

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


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_an_id_that_some_broadcasts_of_a_chunk_lack_makes_no_second_chunk(broadcasts: list[tuple[int, bool]]):
    messages = [
        CONTENT | {"chunk_id": str(number) if has_id else None, "start_time": number, "text": f"Text {position}."}
        for position, (number, has_id) in enumerate(broadcasts)
    ]
    ids: dict[float, set[str]] = {}
    for chunk in chunks_of(*messages):
        ids.setdefault(chunk.start, set()).add(chunk.chunk_id)
    assert all(len(each) == 1 for each in ids.values())
    assert len(set().union(*ids.values())) == len({number for number, _ in broadcasts})


def test_two_chunks_of_a_speaker_with_the_same_start_keep_their_ids():
    chunks = chunks_of(*(CONTENT | {"chunk_id": chunk_id} for chunk_id in ("7", "8", "7")))
    assert [chunk.chunk_id for chunk in chunks] == ["7", "8", "7"]


def test_without_an_id_a_name_that_comes_later_makes_no_second_chunk():
    chunks = chunks_of(
        without("chunk_id", speaker_name=None), without("chunk_id"), without("chunk_id", speaker_name=None)
    )
    assert len({chunk.chunk_id for chunk in chunks}) == 1
    (other,) = chunks_of(without("chunk_id", speaker_name="Bob"))
    assert other.chunk_id not in {chunk.chunk_id for chunk in chunks}


def test_a_start_that_some_broadcasts_of_a_chunk_lack_keeps_its_place():
    first, _, again = chunks_of(
        CONTENT, CONTENT | {"chunk_id": "8", "start_time": 8, "end_time": 9}, without("start_time")
    )
    assert (again.chunk_id, again.start) == (first.chunk_id, first.start)


def test_a_session_remembers_a_bounded_number_of_chunks():
    state = FirefliesState()
    for number in range(2 * MAX_RECENT_COUNT):
        state, _ = step(state, CONTENT | {"chunk_id": str(number), "start_time": number}, AdapterContext())
    assert len(state.recent) == MAX_RECENT_COUNT


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
