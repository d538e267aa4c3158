"""Characters that show nothing, names as they are compared, and texts that can be stored."""

from __future__ import annotations

import re
import unicodedata

# Unicode's category Cf, as far as it may stand after a mark or alone, such as U+200B and the marks of direction.
FORMAT_CHARACTERS = (
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0001\U000e0020-\U000e007f"
)
_FORMAT_RUN = re.compile(f"[{FORMAT_CHARACTERS}]+")
_INVISIBLE_EDGES = re.compile(rf"\A[\s{FORMAT_CHARACTERS}]+|[\s{FORMAT_CHARACTERS}]+\Z")


def strip_format_characters(text: str) -> str:
    """A text without its format characters."""
    return _FORMAT_RUN.sub("", text)


def is_blank(text: str) -> bool:
    """Whether a text holds nothing but white space and format characters."""
    return not strip_format_characters(text).strip()


def normalize_name(text: str) -> str:
    """A person's name as it is compared: NFC, single spaces, nothing invisible around it."""
    return " ".join(_INVISIBLE_EDGES.sub("", unicodedata.normalize("NFC", text)).split())


def require_storable(text: str) -> str:
    """A text that UTF-8 and Postgres can hold, as it is.

    Raises:
        ValueError: it holds NUL or half a character.
    """
    if "\x00" in text:
        raise ValueError("must not hold the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold half a character (a lone surrogate)") from None
    return text
