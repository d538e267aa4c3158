"""Cuts text into pieces that a sentence model can take whole: past its window such a model silently drops words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue] - compiled, without types

from serve.languages import WRITTEN_TOGETHER

# A window is 128 tokens. Beyond some 50 words quality and speed fall off steeply, well before the window's end.
_WORDS = 50
_CHARACTERS = 400
_CHARACTERS_WRITTEN_TOGETHER = 80

_PAUSE = re.compile(r"[,;:、，；：–—]$")


def pieces(text: str, language: str) -> list[str]:
    """Cut a text into sentences, and sentences that are too long into parts, at pauses where there are any.

    Args:
        text: any text.
        language: its language, without region.

    Returns:
        The pieces in order, without the white space around them. All other characters are in one of them.
    """
    cut: list[str] = []
    for sentence in segment(language, text):
        cut.extend(_parts(sentence, language))
    return cut


def join(parts: list[str], language: str) -> str:
    """Put translated pieces together as the target language (without region) writes them."""
    return ("" if language in WRITTEN_TOGETHER else " ").join(part for part in parts if part)


def _parts(sentence: str, language: str) -> Iterator[str]:
    limit = _CHARACTERS_WRITTEN_TOGETHER if language in WRITTEN_TOGETHER else _CHARACTERS
    words = [word[at : at + limit] for word in sentence.split() for at in range(0, len(word), limit)]
    while words:
        count = _fitting(words, limit)
        if count < len(words):
            pauses = [at for at in range(count // 2, count) if _PAUSE.search(words[at])]
            count = pauses[-1] + 1 if pauses else count
        yield " ".join(words[:count])
        words = words[count:]


def _fitting(words: list[str], limit: int) -> int:
    """How many of the words fit into a piece: at least one."""
    length = 0
    for count, word in enumerate(words):
        length += len(word) + 1
        if count == _WORDS or (count and length > limit):
            return count
    return len(words)
