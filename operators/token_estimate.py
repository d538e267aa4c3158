"""An estimate of the number of tokens of a text, for any language model."""

from __future__ import annotations

import re
from math import ceil

_ASCII_LETTERS = re.compile(r"[A-Za-z ]+")
_ASCII_LETTERS_PER_TOKEN = 3
"""ASCII letters and spaces per token, a low estimate. Vocabularies hold whole words of these: real text has four or five."""
_BYTES_PER_TOKEN = 1.6
"""UTF-8 bytes per token for all other letters: a Chinese character takes two tokens. This fits models of few languages;
multilingual models need half as many."""


def estimate_text_tokens(text: str) -> int:
    """Estimate a text's length in tokens. The estimate is rather too high than too low.

    It counts a token for three ASCII letters, for each digit or mark, and for 1.6 bytes of other text.
    """
    letter_count = sum(map(len, _ASCII_LETTERS.findall(text)))
    mark_count = len(text.encode("ascii", "ignore")) - letter_count
    other_bytes = len(text.encode()) - letter_count - mark_count
    return ceil(letter_count / _ASCII_LETTERS_PER_TOKEN) + mark_count + ceil(other_bytes / _BYTES_PER_TOKEN)
