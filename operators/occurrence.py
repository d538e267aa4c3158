"""Whether a text holds a term: as whole words, however it is written large or small and spaced.

A word's edge is where a letter, digit or mark meets something else. An apostrophe or a hyphen is something else: "Ana's" holds
"Ana", and "re-use" holds "use". Scripts without spaces have no edges, and Korean none after a word: its particles are written
onto it. Katakana has them where it meets any other script: "コンテスト" doesn't hold "テスト", and "テストの" does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from operators.boundaries import DENSE

_EDGELESS = re.compile(f"[{DENSE}]")
_KATAKANA = re.compile("[\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_MARKS = "\u30fc\u3099\u309a"
"""Of length and of sound: hiragana has them too."""
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


class Folded(NamedTuple):
    """A text as it is compared.

    Attributes:
        text: without case (unless that counts), accents taken apart, each run of white space one space.
        at: for each place in it, and its end, the place in the text as it was; -1 within what was one character there.
    """

    text: str
    at: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a piece of it lies in the text as it was; None if it cuts a character in two."""
        first, last = self.at[start], self.at[end]
        return None if first < 0 or last < 0 else (first, last)


def folded(text: str, *, case: bool = False) -> Folded:
    """Make a text comparable. Folding changes lengths ("ß" becomes "ss"), so the places are kept.

    Args:
        case: keep it as it is written.
    """
    pieces: list[str] = []
    at: list[int] = []
    for i, one in enumerate(text):
        if one.isspace() and i and text[i - 1].isspace():
            continue
        piece = " " if one.isspace() else _character(one, case)
        pieces.append(piece)
        at += [i, *[-1] * (len(piece) - 1)]
    return Folded("".join(pieces), (*at, len(text)))


@lru_cache(maxsize=2048)
def _character(one: str, case: bool) -> str:
    apart = unicodedata.normalize("NFD", one)
    return apart if case else unicodedata.normalize("NFD", apart.casefold())


def whole(text: str, start: int, end: int) -> bool:
    """Whether a piece of a text begins and ends where words do."""
    if start > 0 and _goes_on(text, start):
        return False
    return (
        end == len(text) or not _goes_on(text, end) or bool(_HANGUL.match(text[end - 1]) and _HANGUL.match(text[end]))
    )


def _goes_on(text: str, at: int) -> bool:
    """Whether a word goes on from the character before a place to the one after it."""
    if _in_word(text[at - 1]) and _in_word(text[at]):
        return True
    return _is_katakana(text, at - 1) and _is_katakana(text, at)


def _in_word(one: str) -> bool:
    return unicodedata.category(one)[0] in "LMN" and not _EDGELESS.match(one)


def _is_katakana(text: str, at: int) -> bool:
    """Whether a character is katakana. A mark is what it is written after: the one of "えー" is hiragana."""
    return bool(_KATAKANA.match(text[: at + 1].rstrip(_MARKS)[-1:]))


def places(text: str, term: str, *, case: bool = False) -> Iterator[tuple[int, int]]:
    """Where a text holds a term as whole words: starts and ends, those that overlap too.

    Args:
        case: only as the term is written.
    """
    wanted = folded(term.strip(), case=case).text
    if not wanted:
        return
    searched = folded(text, case=case)
    found = searched.text.find(wanted)
    while found >= 0:
        span = searched.span(found, found + len(wanted))
        if span is not None and whole(text, *span):
            yield span
        found = searched.text.find(wanted, found + 1)


def holds(text: str, term: str, *, case: bool = False) -> bool:
    """Whether a text holds a term as whole words. White space alone is no term.

    Args:
        case: only as the term is written.
    """
    return any(True for _ in places(text, term, case=case))
