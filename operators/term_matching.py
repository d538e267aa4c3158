"""Search for terms in a text as whole words, regardless of case and spacing.

A word boundary is between a letter, digit or combining mark and any other character. Apostrophes and hyphens are boundaries:
"Ana's" contains "Ana", and "re-use" contains "use". Scripts without spaces have no boundaries. Korean has none after a word,
because it attaches particles to words. Katakana has one next to any other script: "コンテスト" doesn't contain "テスト", but
"テストの" does.
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
"""The length mark and the sound marks, which hiragana uses too."""
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


class FoldedText(NamedTuple):
    """A text folded for comparison.

    Attributes:
        text: casefolded unless case counts, decomposed (NFD), with single spaces.
        offsets: for each offset in the folded text, its end included, the offset in the source text; -1 within the folded
            form of one character.
    """

    text: str
    offsets: tuple[int, ...]

    def source_span(self, start: int, end: int) -> tuple[int, int] | None:
        """Map a span to the source text; None if the span would split a source character."""
        first, last = self.offsets[start], self.offsets[end]
        return None if first < 0 or last < 0 else (first, last)


def fold_with_offsets(text: str, *, keep_case: bool = False) -> FoldedText:
    """Fold a text for comparison, with offsets, because folding changes lengths ("ß" becomes "ss").

    Args:
        text: the source text.
        keep_case: whether case counts.
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
    """Return whether a span of a text begins and ends at word boundaries."""
    if start > 0 and _is_inside_word(text, start):
        return False
    return (
        end == len(text)
        or not _is_inside_word(text, end)
        or bool(_HANGUL.match(text[end - 1]) and _HANGUL.match(text[end]))
    )


def _is_inside_word(text: str, at: int) -> bool:
    """Return whether the characters before and after an offset belong to the same word."""
    if _is_word_character(text[at - 1]) and _is_word_character(text[at]):
        return True
    return _is_katakana(text, at - 1) and _is_katakana(text, at)


def _is_word_character(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" and not _UNSPACED.match(character)


def _is_katakana(text: str, at: int) -> bool:
    """Return whether a character is katakana. A mark has the script of the character before it: in "えー", hiragana."""
    return bool(_KATAKANA.match(text[: at + 1].rstrip(_KANA_MARKS)[-1:]))


def find_term(text: str, term: str, *, case_sensitive: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each match of a term as whole words. Matches may overlap.

    Args:
        text: the text to search.
        term: the term. White space at its ends is ignored.
        case_sensitive: whether case counts.
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
    """Return whether a text contains a term as whole words. A blank term never matches.

    Args:
        text: the text to search.
        term: the term. White space at its ends is ignored.
        case_sensitive: whether case counts.
    """
    return any(True for _ in find_term(text, term, case_sensitive=case_sensitive))
