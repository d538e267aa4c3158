"""One conversation ends in the same sentences, whichever source sends it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from operators.entries import Chunk
from operators.sources import ADAPTERS, AdapterContext, restore_state
from operators.sources.fireflies import FIREFLIES
from operators.sources.fireflies_transcripts import parse_transcript
from operators.subtitles import parse_subtitles
from tests.harness.data.source_conversation import (
    BEGAN_AT_MS,
    CONVERSATION,
    MESSAGES,
    SPEAKER_NUMBERS,
    FirefliesEnvelope,
    Messages,
    fireflies_messages,
    fireflies_transcript,
    generic_events,
    vtt_file,
)
from tests.harness.lane.operator_runs import OperatorResult, make_items, run_operators

EXPECTED = [
    ("Maya", "Good morning, I think we can start.", 0.5),
    ("Tomás", "Yes.", 4.0),
    ("Tomás", "The first version got 3.5 stars.", 4.4),
    ("Maya", "Who can check the texts?", 8.0),
    ("Maya", "I have no time today.", 10.0),
    ("Priya", "I can.", 13.0),
    ("Tomás", "Then we launch on Saturday at ten.", 15.0),
]
LABELS = {name: f"Speaker {number + 1}" for name, number in SPEAKER_NUMBERS.items()}


ALL_ADAPTERS = {**ADAPTERS, FIREFLIES.name: FIREFLIES}
ALL_MESSAGES = {**MESSAGES, FIREFLIES.name: fireflies_messages}


def adapt(source: str, messages: Messages) -> list[tuple[float, Chunk]]:
    """Fold messages through a source's adapter. The state is stored as JSON after each message, as between two replicas."""
    adapter = ALL_ADAPTERS[source]
    stored: str | None = None
    chunks: list[tuple[float, Chunk]] = []
    for at, message in messages:
        context = AdapterContext(began_at_ms=BEGAN_AT_MS, received_at_ms=BEGAN_AT_MS + round(at * 1000))
        state, added = adapter.step(restore_state(adapter, stored), message, context)
        stored = state.model_dump_json()
        chunks += [(at, chunk) for chunk in added]
    return chunks


def sentences(chunks: Iterable[tuple[float, Chunk]]) -> OperatorResult:
    return run_operators(make_items(sorted(chunks, key=lambda timed: timed[0])))


def assert_same_sentences(outcome: OperatorResult, speaker: Callable[[str], str] = str) -> None:
    found = sorted(outcome.current_sentences.values(), key=lambda sentence: sentence.start)
    assert [(one.speaker, one.text) for one in found] == [(speaker(name), text) for name, text, _ in EXPECTED]
    assert [one.start for one in found] == pytest.approx([start for _, _, start in EXPECTED], abs=0.5)
    assert max(one.end for one in found) == pytest.approx(CONVERSATION[-1].end, abs=0.5)


@pytest.mark.parametrize("source", ["recall", "vexa", "attendee"])
def test_a_source_with_names_gives_the_same_sentences(source: str) -> None:
    assert_same_sentences(sentences(adapt(source, MESSAGES[source]())))


@pytest.mark.parametrize("source", ["deepgram", "assemblyai", "speechmatics"])
def test_a_diarised_source_gives_the_same_sentences_with_labels(source: str) -> None:
    assert_same_sentences(sentences(adapt(source, MESSAGES[source]())), LABELS.__getitem__)


def test_a_source_without_speakers_gives_the_same_sentences_with_one_label() -> None:
    assert_same_sentences(sentences(adapt("whisperlive", MESSAGES["whisperlive"]())), lambda _: "Speaker 1")


@pytest.mark.parametrize("envelope", ["payload", "data", None])
def test_fireflies_broadcasts_give_the_same_sentences(envelope: FirefliesEnvelope) -> None:
    assert_same_sentences(sentences(adapt("fireflies", fireflies_messages(envelope))))


def test_a_transcript_of_fireflies_gives_the_same_sentences() -> None:
    chunks = parse_transcript(fireflies_transcript()).chunks
    assert_same_sentences(sentences((chunk.end, chunk) for chunk in chunks))


def test_generic_events_give_the_same_sentences() -> None:
    assert_same_sentences(sentences((at, Chunk.model_validate(fields)) for at, fields in generic_events()))


def test_a_subtitle_file_gives_the_same_sentences() -> None:
    cues = parse_subtitles(vtt_file()).cues
    assert_same_sentences(
        sentences(
            (
                cue.end,
                Chunk(chunk_id=str(number), speaker=cue.speaker, text=cue.text, start=cue.start, end=cue.end),
            )
            for number, cue in enumerate(cues)
        )
    )


@pytest.mark.parametrize("source", ALL_MESSAGES)
def test_a_conversation_that_is_delivered_twice_adds_no_words(source: str) -> None:
    messages = list(ALL_MESSAGES[source]())
    twice = [timed for timed in messages for _ in range(2)]
    outcome = sentences(adapt(source, iter(twice)))
    assert [one.text for one in sorted(outcome.current_sentences.values(), key=lambda one: one.start)] == [
        text for _, text, _ in EXPECTED
    ]


def start_earlier(message: dict[str, Any]) -> dict[str, Any]:
    """Return an interim of Recall.ai, Deepgram or Speechmatics that starts earlier than its final text. Finals are kept."""
    message = copy.deepcopy(message)
    if message.get("event") == "transcript.partial_data":
        message["data"]["data"]["words"][0]["start_timestamp"]["relative"] -= 0.12
    elif message.get("is_final") is False:
        message["channel"]["alternatives"][0]["words"][0]["start"] -= 0.12
    elif message.get("message") == "AddPartialTranscript":
        message["results"][0]["start_time"] -= 0.12
    return message


@pytest.mark.parametrize("repeated_count", [1, 4])
@pytest.mark.parametrize("source", ["recall", "deepgram", "speechmatics"])
def test_a_final_that_is_delivered_again_keeps_the_id_of_its_interim(source: str, repeated_count: int) -> None:
    messages = [(at, start_earlier(message)) for at, message in MESSAGES[source]()]
    ids = {chunk.chunk_id for _, chunk in adapt(source, iter(messages))}
    for end in range(repeated_count, len(messages) + 1):
        again = [*messages[:end], *messages[end - repeated_count : end], *messages[end:]]
        assert {chunk.chunk_id for _, chunk in adapt(source, iter(again)) if chunk.text} <= ids


@pytest.mark.parametrize("source", ALL_MESSAGES)
def test_a_lost_state_adds_no_words(source: str) -> None:
    adapter = ALL_ADAPTERS[source]
    chunks: list[tuple[float, Chunk]] = []
    state = adapter.initial_state
    messages = list(ALL_MESSAGES[source]())
    for index, (at, message) in enumerate(messages):
        if index == len(messages) // 2:
            state = adapter.initial_state
        context = AdapterContext(began_at_ms=BEGAN_AT_MS, received_at_ms=BEGAN_AT_MS + round(at * 1000))
        state, added = adapter.step(state, message, context)
        chunks += [(at, chunk) for chunk in added]
    words = " ".join(one.text for one in sentences(chunks).current_sentences.values()).split()
    assert sorted(words) == sorted(word for turn in CONVERSATION for word in turn.text.split())


@pytest.mark.parametrize("source", sorted(set(MESSAGES) - {"attendee"}))
def test_speech_in_progress_is_shown_before_its_final(source: str) -> None:
    chunks = [chunk for _, chunk in adapt(source, MESSAGES[source]())]
    assert chunks[0].is_final is False
    assert "Good" in chunks[0].text or "good" in chunks[0].text
    assert any(chunk.is_final for chunk in chunks)
