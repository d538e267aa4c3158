"""Tests serve/engines/sanitizer.py: any answer becomes text that can be stored, encoded and shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engines.protocol import StreamAccumulator
from serve.engines.sanitizer import REPLACEMENT_CHARACTER, Sanitizer, sanitize

ANY = st.text(alphabet=st.characters(exclude_categories=[]), max_size=40)
"""Any characters, including surrogates and control characters."""


def sanitize_pieces(pieces: list[str]) -> tuple[str, int]:
    sanitizer = Sanitizer()
    text = "".join(map(sanitizer.add, pieces))
    sanitizer.finish()
    return text, sanitizer.replaced_count


@given(ANY, st.data())
def test_the_split_into_pieces_does_not_change_the_text(words: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=6)))
    pieces = [words[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    assert sanitize_pieces(pieces) == sanitize_pieces([words])


@given(ANY)
def test_an_answer_is_valid_text(words: str) -> None:
    text = sanitize(words)
    assert text.encode().decode() == text
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r"]


@given(st.text(max_size=40).filter(lambda words: not any(unicodedata.category(c) == "Cc" for c in words)))
def test_valid_text_is_unchanged(words: str) -> None:
    assert sanitize_pieces([words]) == (words, 0)


@pytest.mark.parametrize(
    ("pieces", "text", "replaced"),
    [
        (["Olá \ud83d", "\ude00!"], "Olá 😀!", 0),
        (["Olá \ud83d\ude00!"], "Olá 😀!", 0),
        (["a\ud83d", "b"], f"a{REPLACEMENT_CHARACTER}b", 1),
        (["a\ude00b"], f"a{REPLACEMENT_CHARACTER}b", 1),
        (["a\ud83d", "\ud83d\ude00"], f"a{REPLACEMENT_CHARACTER}😀", 1),
        (["Olá \ud83d"], "Olá ", 1),
        (["a\x00b\x1b[0m\n"], f"ab{REPLACEMENT_CHARACTER}[0m\n", 2),
        (["one\ttwo\r\n"], "one\ttwo\r\n", 0),
    ],
)
def test_surrogates_are_joined_and_invalid_characters_replaced(pieces: list[str], text: str, replaced: int) -> None:
    assert sanitize_pieces(pieces) == (text, replaced)


def test_the_complete_answer_equals_its_pieces() -> None:
    written = StreamAccumulator()
    pieces = [written.add(piece) for piece in ("Olá \ud83d", "\ude00\x00", "\ud83d")]
    whole = written.complete("a model\x00", "stop")
    assert "".join(pieces) == whole.text == "Olá 😀"
    assert (whole.replaced_characters, whole.model) == (2, "a model")
