from __future__ import annotations

import pytest

from operators.sentences.emission import (
    ENDED_QUIET_MS,
    OPEN_QUIET_MS,
    OPEN_STABLE_AFTER_MS,
    SPEECH_PASSED_S,
    STABLE_AFTER_MS,
    SentenceState,
    StreamTime,
    emit_if_due,
    is_stable,
)
from operators.sentences.segmenter import Segment
from operators.stream import SentenceBoundary


def make_segment(
    text: str, boundary: SentenceBoundary = SentenceBoundary.MARK, *, end: float = 2.0, uses_punctuation: bool = True
) -> Segment:
    return Segment(1, 0, text, 1.0, end, boundary, None, 1, len(text), 0, uses_punctuation)


def make_stream_time(at: int, *, speech_watermark: float = 2.0, meeting_ended: bool = False) -> StreamTime:
    return StreamTime(at, at / 1000, speech_watermark, meeting_ended)


ENDED = SentenceState(make_segment("Yes."), 0, 0)
OPEN = SentenceState(make_segment("so", SentenceBoundary.OPEN), 0, 0)
EMITTED = SentenceState(make_segment("Yes."), 0, 0, revision=1, first_emitted=0.2, first_text="Yes.")


@pytest.mark.parametrize(("sentence", "quiet_ms"), [(ENDED, ENDED_QUIET_MS), (OPEN, OPEN_QUIET_MS)])
def test_sentence_is_emitted_after_quiet(sentence: SentenceState, quiet_ms: int) -> None:
    assert emit_if_due(sentence, False, make_stream_time(quiet_ms - 1)) is sentence
    out = emit_if_due(sentence, False, make_stream_time(quiet_ms))
    assert (out.revision, out.first_emitted, out.first_text) == (1, quiet_ms / 1000, sentence.segment.text)


def test_sentence_is_emitted_if_followed_or_speech_moved_on_or_meeting_ends() -> None:
    assert emit_if_due(ENDED, True, make_stream_time(0)).revision == 1
    assert emit_if_due(OPEN, False, make_stream_time(0, speech_watermark=2 + SPEECH_PASSED_S)).revision == 1
    assert emit_if_due(OPEN, False, make_stream_time(0, meeting_ended=True)).revision == 1


def test_new_words_make_a_new_revision_and_first_text_is_kept() -> None:
    sentence = EMITTED._replace(stable=True).with_segment(make_segment("Yes, I do."), 500)
    assert not sentence.is_emitted
    assert emit_if_due(sentence, False, make_stream_time(600)) is sentence
    out = emit_if_due(sentence, False, make_stream_time(500 + ENDED_QUIET_MS))
    assert (out.revision, out.stable, out.first_text) == (2, False, "Yes.")


def test_sentence_that_starts_differently_is_emitted_early() -> None:
    sentence = EMITTED.with_segment(make_segment("so we went", SentenceBoundary.OPEN), 500)
    assert emit_if_due(sentence, False, make_stream_time(500 + ENDED_QUIET_MS)).revision == 2
    grown = EMITTED.with_segment(make_segment("yes so we went", SentenceBoundary.OPEN), 500)
    assert emit_if_due(grown, False, make_stream_time(500 + ENDED_QUIET_MS)) is grown


def test_reverted_text_counts_as_emitted() -> None:
    sentence = EMITTED.with_segment(make_segment("Yes, I do."), 500).with_segment(make_segment("Yes."), 600)
    assert emit_if_due(sentence, True, make_stream_time(5_000)) is sentence
    assert sentence.emitted_segment is None


def test_stable_times_are_corrected_without_a_new_revision() -> None:
    sentence = EMITTED._replace(stable=True).with_segment(make_segment("Yes.", end=2.5), 500)
    assert emit_if_due(sentence, True, make_stream_time(500 + OPEN_QUIET_MS - 1)) is sentence
    assert sentence.to_sentence("A").end == 2.0
    out = emit_if_due(sentence, True, make_stream_time(500 + OPEN_QUIET_MS))
    assert (out.revision, out.stable, out.to_sentence("A").end) == (1, True, 2.5)


@pytest.mark.parametrize(
    ("segment", "wait_ms"),
    [
        (make_segment("Yes."), STABLE_AFTER_MS),
        (make_segment("so we went", SentenceBoundary.PAUSE), STABLE_AFTER_MS),
        (make_segment("so we went", SentenceBoundary.OPEN), OPEN_STABLE_AFTER_MS),
        (make_segment("so we went", SentenceBoundary.OPEN, uses_punctuation=False), OPEN_QUIET_MS),
    ],
)
def test_revision_becomes_stable_once_unchanged(segment: Segment, wait_ms: int) -> None:
    sentence = SentenceState(segment, 0, 0, revision=1)
    assert not is_stable(sentence, make_stream_time(wait_ms - 1))
    assert is_stable(sentence, make_stream_time(wait_ms))
    assert is_stable(sentence, make_stream_time(0, meeting_ended=True))


def test_only_an_emitted_text_becomes_stable_and_only_once() -> None:
    late = make_stream_time(100_000)
    assert not is_stable(ENDED, late)
    assert not is_stable(EMITTED.with_segment(make_segment("Yes, I do."), 500), late)
    assert not is_stable(EMITTED._replace(stable=True), late)
    assert is_stable(EMITTED.with_segment(make_segment("Yes.", end=3), 500), late)
