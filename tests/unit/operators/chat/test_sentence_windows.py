"""Tests operators/chat/sentence_windows.py."""

from __future__ import annotations

from operators.chat.sentence_windows import make_windows, window_starts
from tests.unit.operators.chat.test_sentence_ranking import make_sentences


def test_each_sentence_begins_a_window_but_those_of_the_last_ones_are_incomplete() -> None:
    windows = make_windows(make_sentences("A.", "B.", "C.", "D."))
    assert [window.text for window in windows] == ["A. B. C.", "B. C. D.", None, None]
    assert [window.texts for window in windows[1:3]] == [("B.", "B. C. D."), ("C.",)]
    assert windows[1].sentence_ids == ("2.0", "3.0", "4.0")
    assert [window.text for window in make_windows(make_sentences("A.", "B."))] == ["A. B.", None]
    assert make_windows([]) == []
    assert list(window_starts(0)) == []


def test_a_digest_changes_with_the_text_and_the_sentences() -> None:
    [window, _] = make_windows(make_sentences("A.", "B."))
    [changed, _] = make_windows(make_sentences("A.", "C."))
    [same, _] = make_windows(make_sentences("A.", "B."))
    assert same.digest == window.digest != changed.digest
