"""Makes valid text of what engines answer: servers may send any characters, and JSON may spell what no text can hold."""

from __future__ import annotations

import re

REPLACEMENT_CHARACTER = "\ufffd"
"""Stands where a character was that is no text (Unicode, "Replacement Character")."""

_CONTROL_CHARACTERS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but tab, line feed and carriage return. None of them belongs in a caption, and Postgres can't store NUL."""
_SURROGATES = re.compile("[\ud800-\udfff]")
"""Halves of a character in UTF-16. JSON may escape each by itself, and a server may send them in two pieces."""
_HIGH_SURROGATES = ("\ud800", "\udbff")


class Sanitizer:
    """Makes valid text of an answer, piece by piece.

    Two halves of a character are joined, in two pieces too. A half alone, and a control character, is replaced. NUL is left
    out, for it stands for nothing; so is a first half at the end of the answer, for there the answer was cut.

    Attributes:
        replaced: how many characters were replaced or left out so far.
    """

    def __init__(self) -> None:
        self.replaced_count = 0
        self._pending_surrogate = ""

    def add(self, piece: str) -> str:
        """The next piece as valid text. A first half at its end is held until the next piece."""
        text, self._pending_surrogate = self._pending_surrogate + piece, ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._pending_surrogate = text[:-1], text[-1]
        return self._sanitize(text)

    def finish(self) -> None:
        """The answer is at its end."""
        self.replaced_count += len(self._pending_surrogate)
        self._pending_surrogate = ""

    def _sanitize(self, text: str) -> str:
        if _SURROGATES.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            text = self._replace(_SURROGATES, text)
        self.replaced_count += text.count("\x00")
        return self._replace(_CONTROL_CHARACTERS, text.replace("\x00", ""))

    def _replace(self, pattern: re.Pattern[str], text: str) -> str:
        text, count = pattern.subn(REPLACEMENT_CHARACTER, text)
        self.replaced_count += count
        return text


def sanitize(text: str) -> str:
    """A whole text as valid text."""
    return Sanitizer().add(text)
