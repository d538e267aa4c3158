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

from operators.sentences.boundaries import UNSPACED_SCRIPTS

_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]")
_KATAKANA = re.compile("[\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_KANA_MARKS = "\u30fc\u3099\u309a"
"""Of length and of sound: hiragana has them too."""
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


class FoldedText(NamedTuple):
    """A text as it is compared.

    Attributes:
        text: without case (unless that counts), accents taken apart, each run of white space one space.
        at: for each place in it, and its end, the place in the text as it was; -1 within what was one character there.
    """

    text: str
    offsets: tuple[int, ...]

    def source_span(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a piece of it lies in the text as it was; None if it cuts a character in two."""
        first, last = self.offsets[start], self.offsets[end]
        return None if first < 0 or last < 0 else (first, last)


def fold_with_offsets(text: str, *, keep_case: bool = False) -> FoldedText:
    """Make a text comparable. Folding changes lengths ("ß" becomes "ss"), so the places are kept.

    Args:
        case: keep it as it is written.
    """
    parts: list[str] = []
    offsets: list[int] = []
    for i, character in enumerate(text):
        if character.isspace() and i and text[i - 1].isspace():
            continue
        part = " " if character.isspace() else _fold_character(character, keep_case)
        parts.append(part)
        offsets += [i, *[-1] * (len(part) - 1)]
    return FoldedText("".join(parts), (*offsets, len(text)))


@lru_cache(maxsize=2048)
def _fold_character(character: str, keep_case: bool) -> str:
    decomposed = unicodedata.normalize("NFD", character)
    return decomposed if keep_case else unicodedata.normalize("NFD", decomposed.casefold())


def is_whole_word(text: str, start: int, end: int) -> bool:
    """Whether a piece of a text begins and ends where words do."""
    if start > 0 and _is_inside_word(text, start):
        return False
    return (
        end == len(text)
        or not _is_inside_word(text, end)
        or bool(_HANGUL.match(text[end - 1]) and _HANGUL.match(text[end]))
    )


def _is_inside_word(text: str, at: int) -> bool:
    """Whether a word goes on from the character before a place to the one after it."""
    if _is_word_character(text[at - 1]) and _is_word_character(text[at]):
        return True
    return _is_katakana(text, at - 1) and _is_katakana(text, at)


def _is_word_character(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and not _UNSPACED.match(character)


def _is_katakana(text: str, at: int) -> bool:
    """Whether a character is katakana. A mark is what it is written after: the one of "えー" is hiragana."""
    return bool(_KATAKANA.match(text[: at + 1].rstrip(_KANA_MARKS)[-1:]))


def find_term(text: str, term: str, *, case_sensitive: bool = False) -> Iterator[tuple[int, int]]:
    """Where a text holds a term as whole words: starts and ends, those that overlap too.

    Args:
        case: only as the term is written.
    """
    folded_term = fold_with_offsets(term.strip(), keep_case=case_sensitive).text
    if not folded_term:
        return
    folded_text = fold_with_offsets(text, keep_case=case_sensitive)
    position = folded_text.text.find(folded_term)
    while position >= 0:
        span = folded_text.source_span(position, position + len(folded_term))
        if span is not None and is_whole_word(text, *span):
            yield span
        position = folded_text.text.find(folded_term, position + 1)


def contains_term(text: str, term: str, *, case_sensitive: bool = False) -> bool:
    """Whether a text holds a term as whole words. White space alone is no term.

    Args:
        case: only as the term is written.
    """
    return any(True for _ in find_term(text, term, case_sensitive=case_sensitive))
