"""Sanitizes the answers of engines: servers may send control characters, and JSON may contain unpaired surrogates."""

from __future__ import annotations

import re

REPLACEMENT_CHARACTER = "\ufffd"
"""Replaces each character that is no valid text (Unicode's "Replacement Character")."""

_CONTROL_CHARACTERS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters except tab, line feed, carriage return and NUL. None of them belongs in a caption."""
_SURROGATES = re.compile("[\ud800-\udfff]")
"""UTF-16 surrogates, the halves of a character. JSON may escape each alone, and a server may send them in two pieces."""
_HIGH_SURROGATES = ("\ud800", "\udbff")


class Sanitizer:
    """Makes valid text of an answer, piece by piece.

    Surrogate pairs are joined, even across pieces. Unpaired surrogates and control characters are replaced. NUL is left out:
    it has no meaning, and Postgres can't store it. So is a high surrogate at the end, because the answer was cut there.

    Attributes:
        replaced_count: characters replaced or left out so far.
    """

    def __init__(self) -> None:
        self.replaced_count = 0
        self._pending_surrogate = ""

    def add(self, piece: str) -> str:
        """Return the next piece as valid text. A high surrogate at its end is kept for the next piece."""
        text, self._pending_surrogate = self._pending_surrogate + piece, ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._pending_surrogate = text[:-1], text[-1]
        return self._sanitize(text)

    def finish(self) -> None:
        """Count a high surrogate that is left over. No piece may follow."""
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
    """Return a complete text as valid text."""
    return Sanitizer().add(text)
