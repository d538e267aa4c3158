"""The meeting that `parley demo` plays holds all that a live source does, and comes out as it was written."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest

from cluster.recording import Recorded, Recording, read_recording
from operators.model import Boundary, Chunk
from tests.harness.speech import Outcome, log, run

PATH = Path(__file__).parents[3] / "examples" / "launch.broadcasts.jsonl"
SPEAKERS = {"Maya", "Tomás", "Priya", "Jonas"}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return read_recording(PATH)


@pytest.fixture(scope="module")
def outcome(recording: Recording) -> Outcome:
    return run(log([(event.at, event.chunk) for event in recording.events]))


def _by_chunk(recording: Recording) -> dict[str, list[Chunk]]:
    """Each chunk's revisions, in order of arrival."""
    chunks: dict[str, list[Chunk]] = {}
    for event in recording.events:
        chunks.setdefault(event.chunk.chunk_id, []).append(event.chunk)
    return chunks


def _last_revisions(recording: Recording) -> list[Chunk]:
    return sorted((revisions[-1] for revisions in _by_chunk(recording).values()), key=lambda chunk: chunk.start)


def test_it_is_a_short_meeting_of_several_people(recording: Recording) -> None:
    assert recording.name == "launch"
    assert 180 <= recording.events[-1].at <= 300
    assert {event.chunk.speaker for event in recording.events} == SPEAKERS
    assert PATH.stat().st_size < 200_000


def test_every_event_comes_soon_after_its_words(recording: Recording) -> None:
    late = [event.at - event.chunk.end for event in recording.events]
    assert min(late) >= 0.3
    assert max(late) <= 5
    assert sum(seconds <= 1 for seconds in late) >= 0.9 * len(late)


def test_chunks_grow_and_are_revised(recording: Recording) -> None:
    chunks = _by_chunk(recording)
    assert len(chunks) == 100
    assert len(recording.events) == 850
    for revisions in chunks.values():
        assert 2 <= len(revisions) <= 30
        assert len({(one.speaker, one.start) for one in revisions}) == 1
        assert all(a.end <= b.end for a, b in pairwise(revisions))
        assert revisions[0].text != revisions[-1].text
    grown = [(a.text, b.text) for revisions in chunks.values() for a, b in pairwise(revisions)]
    # Wrong guesses, marks and capitals are put right: the text doesn't merely go on.
    assert sum(not b.startswith(a) for a, b in grown) >= 70
    # Half words become whole ones.
    assert sum(b.startswith(a) and b[len(a) :][:1].isalpha() for a, b in grown) >= 70


def test_about_a_tenth_of_the_events_are_repeats(recording: Recording, outcome: Outcome) -> None:
    repeats = sum(a.chunk == b.chunk for a, b in pairwise(recording.events))
    assert 0.08 <= repeats / len(recording.events) <= 0.12
    assert sum(update.repeated for update, _ in outcome.steps) == repeats


def test_many_chunks_are_revised_after_a_newer_one_began(recording: Recording) -> None:
    newest = 0
    last: dict[int, Recorded] = {}
    late: set[int] = set()
    for event in recording.events:
        n = int(event.chunk.chunk_id)
        if n < newest and event.chunk != last[n].chunk:
            late.add(n)
        newest = max(newest, n)
        last[n] = event
    assert 1 / 3 <= len(late) / len(last) <= 1 / 2


def test_people_talk_over_each_other(recording: Recording) -> None:
    overlaps = [
        (a, b)
        for a, b in combinations(_last_revisions(recording), 2)
        if a.speaker != b.speaker and b.start < a.end - 0.1
    ]
    assert len(overlaps) >= 12


def test_many_sentences_run_over_two_chunks_and_some_chunks_hold_several(recording: Recording) -> None:
    last = _last_revisions(recording)
    before: dict[str, str] = {}
    continued = several = 0
    for chunk in last:
        continued += before.get(chunk.speaker, ".")[-1] not in ".?!"
        before[chunk.speaker] = chunk.text
        several += any(mark in chunk.text for mark in (". ", "? ", "! "))
    assert continued / len(last) >= 0.3
    assert several >= 10


def test_its_sentences_are_those_that_were_written(outcome: Outcome) -> None:
    sentences = sorted(outcome.standing.values(), key=lambda sentence: sentence.start)
    assert len(sentences) == 90
    assert {sentence.boundary for sentence in sentences} == {Boundary.MARK}
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
def test_nothing_that_a_speaker_said_is_lost(recording: Recording, outcome: Outcome, speaker: str) -> None:
    said = [chunk.text for chunk in _last_revisions(recording) if chunk.speaker == speaker]
    assert " ".join(outcome.texts(speaker)) == " ".join(said)
