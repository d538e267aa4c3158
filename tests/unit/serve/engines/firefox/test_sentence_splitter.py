"""Tests serve/engines/firefox/sentence_splitter.py."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engines.firefox.sentence_splitter import join_parts, split_text


def test_text_is_split_into_sentences() -> None:
    text = "Hello Mr. Smith. How are you?\n\nFine, e.g. very fine."
    assert split_text(text, "en") == ["Hello Mr. Smith.", "How are you?", "Fine, e.g. very fine."]


def test_long_sentences_are_split_at_punctuation() -> None:
    text = ", ".join(["and so on and so forth it goes"] * 20)
    found = split_text(text, "en")
    assert len(found) > 1
    assert all(len(piece.split()) <= 50 for piece in found)
    assert all(piece.endswith(",") for piece in found[:-1])


def test_text_without_spaces_is_split_by_characters() -> None:
    assert max(len(piece) for piece in split_text("日本語" * 200, "ja")) <= 80
    assert max(len(piece) for piece in split_text("x" * 5_000, "en")) <= 400


def test_pieces_are_joined_with_the_spacing_of_the_language() -> None:
    assert join_parts(["Olá.", "", "Tudo bem?"], "pt") == "Olá. Tudo bem?"
    assert join_parts(["你好。", "好吗？"], "zh") == "你好。好吗？"


@settings(deadline=None)
@given(st.text(max_size=3_000), st.sampled_from(["en", "pt", "ja", "ar"]))
def test_splitting_loses_nothing_but_white_space(text: str, language: str) -> None:
    assert "".join("".join(split_text(text, language)).split()) == "".join(text.split())
