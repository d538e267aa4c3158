"""Invisible characters, normalized names, and the check that a text can be stored."""

from __future__ import annotations

import re
import unicodedata

# The characters of Unicode's category Cf that can follow a mark or stand alone, such as U+200B and the marks of direction.
FORMAT_CHARACTERS = (
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0001\U000e0020-\U000e007f"
)
_FORMAT_RUN = re.compile(f"[{FORMAT_CHARACTERS}]+")
_INVISIBLE_EDGES = re.compile(rf"\A[\s{FORMAT_CHARACTERS}]+|[\s{FORMAT_CHARACTERS}]+\Z")


def strip_format_characters(text: str) -> str:
    """Return a text without its format characters."""
    return _FORMAT_RUN.sub("", text)


def is_blank(text: str) -> bool:
    """Return whether a text consists of white space and format characters only."""
    return not strip_format_characters(text).strip()


def normalize_name(text: str) -> str:
    """Normalize a person's name: NFC, single spaces, no invisible characters at its ends."""
    return " ".join(_INVISIBLE_EDGES.sub("", unicodedata.normalize("NFC", text)).split())


def require_storable(text: str) -> str:
    """Return a text unchanged if UTF-8 and Postgres can store it.

    Raises:
        ValueError: the text contains NUL or a lone surrogate.
    """
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain a lone surrogate (half a character)") from None
    return text
