from __future__ import annotations

import pytest

from operators.model import SentenceBoundary
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


def make_piece(
    text: str, boundary: SentenceBoundary = SentenceBoundary.MARK, *, end: float = 2.0, marked: bool = True
) -> Segment:
    return Segment(1, 0, text, 1.0, end, boundary, None, 1, len(text), 0, marked)


def make_moment(at: int, *, reach: float = 2.0, over: bool = False) -> StreamTime:
    return StreamTime(at, at / 1000, reach, over)


ENDED = SentenceState(make_piece("Yes."), 0, 0)
OPEN = SentenceState(make_piece("so", SentenceBoundary.OPEN), 0, 0)
OUT = SentenceState(make_piece("Yes."), 0, 0, revision=1, first_emitted=0.2, first_text="Yes.")


@pytest.mark.parametrize(("line", "quiet_ms"), [(ENDED, ENDED_QUIET_MS), (OPEN, OPEN_QUIET_MS)])
def test_a_line_is_put_out_after_quiet(line: SentenceState, quiet_ms: int) -> None:
    assert emit_if_due(line, False, make_moment(quiet_ms - 1)) is line
    out = emit_if_due(line, False, make_moment(quiet_ms))
    assert (out.revision, out.first_emitted, out.first_text) == (1, quiet_ms / 1000, line.segment.text)


def test_a_line_is_put_out_once_the_next_has_begun_or_speech_has_moved_on_or_the_meeting_ends() -> None:
    assert emit_if_due(ENDED, True, make_moment(0)).revision == 1
    assert emit_if_due(OPEN, False, make_moment(0, reach=2 + SPEECH_PASSED_S)).revision == 1
    assert emit_if_due(OPEN, False, make_moment(0, over=True)).revision == 1


def test_new_words_are_a_new_revision_and_the_first_ones_stay_on_record() -> None:
    line = OUT._replace(stable=True).with_segment(make_piece("Yes, I do."), 500)
    assert not line.is_emitted
    assert emit_if_due(line, False, make_moment(600)) is line
    out = emit_if_due(line, False, make_moment(500 + ENDED_QUIET_MS))
    assert (out.revision, out.stable, out.first_text) == (2, False, "Yes.")


def test_words_that_hold_something_else_now_do_not_stand_for_long() -> None:
    line = OUT.with_segment(make_piece("so we went", SentenceBoundary.OPEN), 500)
    assert emit_if_due(line, False, make_moment(500 + ENDED_QUIET_MS)).revision == 2
    grown = OUT.with_segment(make_piece("yes so we went", SentenceBoundary.OPEN), 500)
    assert emit_if_due(grown, False, make_moment(500 + ENDED_QUIET_MS)) is grown


def test_words_that_come_back_were_never_gone() -> None:
    line = OUT.with_segment(make_piece("Yes, I do."), 500).with_segment(make_piece("Yes."), 600)
    assert emit_if_due(line, True, make_moment(5_000)) is line
    assert line.emitted_segment is None


def test_times_are_put_right_once_they_hold_still_and_make_no_revision() -> None:
    line = OUT._replace(stable=True).with_segment(make_piece("Yes.", end=2.5), 500)
    assert emit_if_due(line, True, make_moment(500 + OPEN_QUIET_MS - 1)) is line
    assert line.to_sentence("A").end == 2.0
    out = emit_if_due(line, True, make_moment(500 + OPEN_QUIET_MS))
    assert (out.revision, out.stable, out.to_sentence("A").end) == (1, True, 2.5)


@pytest.mark.parametrize(
    ("reading", "wait_ms"),
    [
        (make_piece("Yes."), STABLE_AFTER_MS),
        (make_piece("so we went", SentenceBoundary.PAUSE), STABLE_AFTER_MS),
        (make_piece("so we went", SentenceBoundary.OPEN), OPEN_STABLE_AFTER_MS),
        (make_piece("so we went", SentenceBoundary.OPEN, marked=False), OPEN_QUIET_MS),
    ],
)
def test_a_revision_settles_once_it_has_held_still(reading: Segment, wait_ms: int) -> None:
    line = SentenceState(reading, 0, 0, revision=1)
    assert not is_stable(line, make_moment(wait_ms - 1))
    assert is_stable(line, make_moment(wait_ms))
    assert is_stable(line, make_moment(0, over=True))


def test_only_what_was_put_out_as_it_reads_settles_and_only_once() -> None:
    late = make_moment(100_000)
    assert not is_stable(ENDED, late)
    assert not is_stable(OUT.with_segment(make_piece("Yes, I do."), 500), late)
    assert not is_stable(OUT._replace(stable=True), late)
    assert is_stable(OUT.with_segment(make_piece("Yes.", end=3), 500), late)
