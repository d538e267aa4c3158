"""Word ends in scripts without spaces, by ICU's dictionaries (UAX #29): Thai, Lao, Khmer, Burmese, Chinese and Japanese."""

from __future__ import annotations

from functools import lru_cache

from icu4py.breakers import WordBreaker

LOOKAHEAD_CHARS = 15
"""Minimum number of characters after a word end. ICU may split the last words of a text differently once more text follows."""


@lru_cache(maxsize=2048)
def word_ends(text: str) -> tuple[int, ...]:
    """Return the word ends in a text that more text after it is unlikely to change, as offsets.

    Args:
        text: a text that begins with a word.
    """
    # ICU chooses the dictionary by the script, not by the locale.
    ends = (stop for _, stop in WordBreaker(text, "en").segments())
    return tuple(stop for stop in ends if stop <= len(text) - LOOKAHEAD_CHARS)
