"""Splits text into pieces that fit a sentence model: beyond its context window such a model silently drops words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue] - compiled, without types

from serve.text.languages import LANGUAGES_WITHOUT_SPACES

# A window is 128 tokens. Beyond some 50 words quality and speed fall off steeply, well before the window's end.
_MAX_WORD_COUNT = 50
_MAX_CHARACTER_COUNT = 400
_MAX_UNSPACED_CHARACTER_COUNT = 80

_PAUSE = re.compile(r"[,;:、，；：–—]$")


def split_text(text: str, language: str) -> list[str]:
    """Split a text into sentences, and long sentences into parts, at punctuation if there is any.

    Args:
        text: any text.
        language: its language, without region.

    Returns:
        The pieces in order, without the white space around them. No other character is lost.
    """
    parts: list[str] = []
    for sentence in segment(language, text):
        parts.extend(_split_sentence(sentence, language))
    return parts


def join_parts(parts: list[str], language: str) -> str:
    """Join translated pieces as the target language (without region) writes them: with spaces, or without."""
    return ("" if language in LANGUAGES_WITHOUT_SPACES else " ").join(part for part in parts if part)


def _split_sentence(sentence: str, language: str) -> Iterator[str]:
    limit = _MAX_UNSPACED_CHARACTER_COUNT if language in LANGUAGES_WITHOUT_SPACES else _MAX_CHARACTER_COUNT
    words = [word[at : at + limit] for word in sentence.split() for at in range(0, len(word), limit)]
    while words:
        count = _fitting_word_count(words, limit)
        if count < len(words):
            pauses = [at for at in range(count // 2, count) if _PAUSE.search(words[at])]
            count = pauses[-1] + 1 if pauses else count
        yield " ".join(words[:count])
        words = words[count:]


def _fitting_word_count(words: list[str], limit: int) -> int:
    """Count the words that fit into a piece: at least one."""
    length = 0
    for count, word in enumerate(words):
        length += len(word) + 1
        if count == _MAX_WORD_COUNT or (count and length > limit):
            return count
    return len(words)
