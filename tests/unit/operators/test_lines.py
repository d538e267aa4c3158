from __future__ import annotations

import pytest

from operators.lines import (
    ENDED_QUIET_MS,
    OPEN_QUIET_MS,
    PASSED_SECONDS,
    SETTLE_MS,
    SETTLE_OPEN_MS,
    Line,
    Moment,
    put_out,
    settles,
)
from operators.model import Boundary
from operators.pieces import Piece


def piece(text: str, boundary: Boundary = Boundary.MARK, *, end: float = 2.0, marked: bool = True) -> Piece:
    return Piece(1, 0, text, 1.0, end, boundary, None, 1, len(text), 0, marked)


def moment(at: int, *, reach: float = 2.0, over: bool = False) -> Moment:
    return Moment(at, at / 1000, reach, over)


ENDED = Line(piece("Yes."), 0, 0)
OPEN = Line(piece("so", Boundary.OPEN), 0, 0)
OUT = Line(piece("Yes."), 0, 0, revision=1, first_emitted=0.2, first_text="Yes.")


@pytest.mark.parametrize(("line", "quiet_ms"), [(ENDED, ENDED_QUIET_MS), (OPEN, OPEN_QUIET_MS)])
def test_a_line_is_put_out_after_quiet(line: Line, quiet_ms: int) -> None:
    assert put_out(line, False, moment(quiet_ms - 1)) is line
    out = put_out(line, False, moment(quiet_ms))
    assert (out.revision, out.first_emitted, out.first_text) == (1, quiet_ms / 1000, line.piece.text)


def test_a_line_is_put_out_once_the_next_has_begun_or_speech_has_moved_on_or_the_meeting_ends() -> None:
    assert put_out(ENDED, True, moment(0)).revision == 1
    assert put_out(OPEN, False, moment(0, reach=2 + PASSED_SECONDS)).revision == 1
    assert put_out(OPEN, False, moment(0, over=True)).revision == 1


def test_new_words_are_a_new_revision_and_the_first_ones_stay_on_record() -> None:
    line = OUT._replace(settled=True).reads(piece("Yes, I do."), 500)
    assert not line.current
    assert put_out(line, False, moment(600)) is line
    out = put_out(line, False, moment(500 + ENDED_QUIET_MS))
    assert (out.revision, out.settled, out.first_text) == (2, False, "Yes.")


def test_words_that_hold_something_else_now_do_not_stand_for_long() -> None:
    line = OUT.reads(piece("so we went", Boundary.OPEN), 500)
    assert put_out(line, False, moment(500 + ENDED_QUIET_MS)).revision == 2
    grown = OUT.reads(piece("yes so we went", Boundary.OPEN), 500)
    assert put_out(grown, False, moment(500 + ENDED_QUIET_MS)) is grown


def test_words_that_come_back_were_never_gone() -> None:
    line = OUT.reads(piece("Yes, I do."), 500).reads(piece("Yes."), 600)
    assert put_out(line, True, moment(5_000)) is line
    assert line.shown is None


def test_times_are_put_right_once_they_hold_still_and_make_no_revision() -> None:
    line = OUT._replace(settled=True).reads(piece("Yes.", end=2.5), 500)
    assert put_out(line, True, moment(500 + OPEN_QUIET_MS - 1)) is line
    assert line.sentence("A").end == 2.0
    out = put_out(line, True, moment(500 + OPEN_QUIET_MS))
    assert (out.revision, out.settled, out.sentence("A").end) == (1, True, 2.5)


@pytest.mark.parametrize(
    ("reading", "wait_ms"),
    [
        (piece("Yes."), SETTLE_MS),
        (piece("so we went", Boundary.PAUSE), SETTLE_MS),
        (piece("so we went", Boundary.OPEN), SETTLE_OPEN_MS),
        (piece("so we went", Boundary.OPEN, marked=False), OPEN_QUIET_MS),
    ],
)
def test_a_revision_settles_once_it_has_held_still(reading: Piece, wait_ms: int) -> None:
    line = Line(reading, 0, 0, revision=1)
    assert not settles(line, moment(wait_ms - 1))
    assert settles(line, moment(wait_ms))
    assert settles(line, moment(0, over=True))


def test_only_what_was_put_out_as_it_reads_settles_and_only_once() -> None:
    late = moment(100_000)
    assert not settles(ENDED, late)
    assert not settles(OUT.reads(piece("Yes, I do."), 500), late)
    assert not settles(OUT._replace(settled=True), late)
    assert settles(OUT.reads(piece("Yes.", end=3), 500), late)
