"""Tests operators/insights/speaker_statistics.py."""

from __future__ import annotations

from operators.insights.speaker_statistics import measure_speakers
from operators.stream import Sentence, SentenceBoundary


def sentence(speaker: str, start: float, end: float, text: str = "Yes.", speaker_id: str | None = None) -> Sentence:
    return Sentence(
        f"{start:.0f}.0", 1, speaker, speaker_id, text, start, end, SentenceBoundary.MARK, None, start, text
    )


def test_talk_turns_monologues_and_questions_are_measured() -> None:
    ann, bob = measure_speakers(
        [
            sentence("Ann", 0, 4, "Shall we begin?"),
            sentence("Ann", 5, 8, "Then the budget."),
            sentence("Bob", 8, 10, '"Really?"'),
            sentence("Ann", 10, 11, "予算は？"),
        ]
    )
    assert (ann.speaker, ann.talk_s, ann.turns, ann.longest_turn_s) == ("Ann", 8.0, 2, 8.0)
    assert (ann.sentences, ann.words, ann.questions, ann.share) == (3, 7, 2, 0.8)
    assert (bob.talk_s, bob.turns, bob.questions, bob.share) == (2.0, 1, 1, 0.2)


def test_speech_that_overlaps_counts_once_for_a_speaker() -> None:
    ann, bob = measure_speakers([sentence("Ann", 0, 4), sentence("Ann", 2, 5), sentence("Bob", 3, 6)])
    assert (ann.talk_s, bob.talk_s) == (5.0, 3.0)


def test_a_pause_ends_a_turn() -> None:
    [ann] = measure_speakers([sentence("Ann", 0, 2), sentence("Ann", 3600, 3602)])
    assert (ann.turns, ann.longest_turn_s, ann.talk_s) == (2, 2.0, 4.0)


def test_speakers_of_one_name_are_told_apart_and_no_speech_is_no_error() -> None:
    both = measure_speakers([sentence("Ann", 0, 1, speaker_id="a"), sentence("Ann", 1, 2, speaker_id="b")])
    assert [each.speaker_id for each in both] == ["a", "b"]
    assert measure_speakers([]) == []
    assert measure_speakers([sentence("Ann", 1, 1)])[0].share == 0.0
