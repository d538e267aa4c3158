"""The sentences of the meeting that `parley demo` plays match its script."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.recordings.reader import Recording, read_recording
from operators.entries import Chunk
from operators.stream import SentenceBoundary
from tests.harness.lane.operator_runs import OperatorResult, make_items, run_operators

PATH = Path(__file__).parents[4] / "examples" / "launch.broadcasts.jsonl"
SPEAKERS = {"Maya", "Tomás", "Priya", "Jonas"}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording(PATH)


@pytest.fixture(scope="module")
def outcome(recording: Recording) -> OperatorResult:
    return run_operators(make_items([(event.at, event.chunk) for event in recording.events]))


def _by_chunk(recording: Recording) -> dict[str, list[Chunk]]:
    """Group the revisions by chunk, in order of arrival."""
    chunks: dict[str, list[Chunk]] = {}
    for event in recording.events:
        chunks.setdefault(event.chunk.chunk_id, []).append(event.chunk)
    return chunks


def _last_revisions(recording: Recording) -> list[Chunk]:
    return sorted((revisions[-1] for revisions in _by_chunk(recording).values()), key=lambda chunk: chunk.start)


def test_demo_sentences_match_the_script(outcome: OperatorResult) -> None:
    sentences = sorted(outcome.current_sentences.values(), key=lambda sentence: sentence.start)
    assert len(sentences) == 90
    assert {sentence.boundary for sentence in sentences} == {SentenceBoundary.MARK}
    assert all(sentence.text[-1] in ".?!" for sentence in sentences)
    assert (sentences[0].speaker, sentences[0].text) == ("Maya", "Good morning, I think we can start.")
    assert (sentences[-1].speaker, sentences[-1].text) == ("Maya", "Have a nice day, and don't forget the cake!")
    assert max(len(sentence.text.split()) for sentence in sentences) == 36
    texts = {sentence.text for sentence in sentences}
    # Full stops that end no sentence, and one that does both.
    assert "On some old phones, e.g. mine, the download takes far too long." in texts
    assert "The first version received 3.5 stars, and the new version received 4.5 stars." in texts
    assert "Dr. Okafor has checked the texts about the shipwreck, and only two dates were wrong." in texts
    assert "We will launch the guide on Saturday, May 16, at 10 a.m." in texts


@pytest.mark.parametrize("speaker", sorted(SPEAKERS))
def test_no_transcript_text_is_lost(recording: Recording, outcome: OperatorResult, speaker: str) -> None:
    said = [chunk.text for chunk in _last_revisions(recording) if chunk.speaker == speaker]
    assert " ".join(outcome.texts(speaker)) == " ".join(said)
