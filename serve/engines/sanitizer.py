"""Makes valid text of what engines answer: servers may send any characters, and JSON may spell what no text can hold."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
"""Stands where a character was that is no text (Unicode, "Replacement Character")."""

_CONTROLS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but tab, line feed and carriage return. None of them belongs in a caption, and Postgres can't store NUL."""
_SURROGATES = re.compile("[\ud800-\udfff]")
"""Halves of a character in UTF-16. JSON may escape each by itself, and a server may send them in two pieces."""
_FIRST_HALVES = ("\ud800", "\udbff")


class Sanitizer:
    """Makes valid text of an answer, piece by piece.

    Two halves of a character are joined, in two pieces too. A half alone, and a control character, is replaced. NUL is left
    out, for it stands for nothing; so is a first half at the end of the answer, for there the answer was cut.

    Attributes:
        replaced: how many characters were replaced or left out so far.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._half = ""

    def add(self, piece: str) -> str:
        """The next piece as valid text. A first half at its end is held until the next piece."""
        text, self._half = self._half + piece, ""
        if text and _FIRST_HALVES[0] <= text[-1] <= _FIRST_HALVES[1]:
            text, self._half = text[:-1], text[-1]
        return self._valid(text)

    def end(self) -> None:
        """The answer is at its end."""
        self.replaced += len(self._half)
        self._half = ""

    def _valid(self, text: str) -> str:
        if _SURROGATES.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            text = self._replaced(_SURROGATES, text)
        self.replaced += text.count("\x00")
        return self._replaced(_CONTROLS, text.replace("\x00", ""))

    def _replaced(self, pattern: re.Pattern[str], text: str) -> str:
        text, count = pattern.subn(REPLACEMENT, text)
        self.replaced += count
        return text


def sanitized(text: str) -> str:
    """A whole text as valid text."""
    return Sanitizer().add(text)
