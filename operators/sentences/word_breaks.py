"""Where words end in scripts without spaces: Thai, Lao, Khmer, Burmese, Chinese and Japanese, by ICU's dictionaries (UAX #29)."""

from __future__ import annotations

from functools import lru_cache

from icu4py.breakers import WordBreaker

LOOKAHEAD_CHARS = 15
"""Characters that must follow a word whose end is told: with more to come, ICU may cut the last words of a text otherwise."""


@lru_cache(maxsize=2048)
def word_ends(text: str) -> tuple[int, ...]:
    """Where the words of a text end, as far as what follows the text hardly changes that: indices into the text.

    Args:
        text: begins with a word.
    """
    # It tells the languages apart by their scripts.
    ends = (stop for _, stop in WordBreaker(text, "en").segments())
    return tuple(stop for stop in ends if stop <= len(text) - LOOKAHEAD_CHARS)
