"""Where a sentence ends: the words of a text, and after which of them a mark ends a sentence.

The decision looks at two words before and one after and at nothing else, so that it can be made anew from any place in
a text. What a full stop means besides is in `operators.sentences.full_stops`. Marks, closing quotes and emoji that stand
alone, in a chunk of their own too, belong to the word before them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from operators.characters import FORMAT_CHARACTERS, strip_format_characters
from operators.sentences.full_stops import full_stop_ends_sentence, starts_lowercase

WORD_SIZE = 2
"""The size of a word. A character of a script without spaces has size 1: two of them count as much as a word."""
MAX_WORD_CHARS = 200
"""Characters of the longest word, such as an address. A longer one is cut into parts of `WORD_PART_CHARS`."""
WORD_PART_CHARS = 20

# Unicode's Sentence_Terminal marks of the living scripts, and Tibetan's: each ends a sentence, with or without a space.
_SENTENCE_TERMINALS = (
    "\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0964\u0965\u0f0d\u0f0e\u104b\u1362\u1367\u1368"
    "\u166e\u17d4\u17d5\u1803\u1809\u1944\u1945\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2cf9\u2cfa\u2cfb"
    "\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\uaa5d\uaa5e\uaa5f\uabeb"
    "\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
# Scripts without spaces: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han. Not their digits: a number is a word.
UNSPACED_SCRIPTS = (
    "\u0e01-\u0e4e\u0e81-\u0ecf\u0f00\u0f40-\u0fbc\u1000-\u103f\u104c-\u108f\u1780-\u17d3"
    "\u3005-\u3007\u3031-\u3035\u3041-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
# Their vowel signs, tones and length marks, which no cut may part from the character before them.
_COMBINING_SIGNS = (
    "\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ecd\u0f0b\u0f71-\u0f84\u0f90-\u0fbc\u102b-\u103e\u1056-\u1059"
    "\u17b6-\u17d3\u3005\u3099-\u309e\u30fc-\u30fe\uff70\uff9e\uff9f"
)
_STACKED = "[\u17d2\u1039][\u1000-\u1021\u1780-\u17a2]"
_CLOSERS = "”’»›)\\]}」』）】〉》〕≫"
_WIDE_OPENERS = "「『（【〈《〔"
_OPENERS = f"“‘«‹(\\[{{≪¿¡„‚{_WIDE_OPENERS}"
_QUOTES = "\"'״"
# Without notes and ornamental brackets, which open as well as close.
_EMOJI = "\u2600-\u2668\u2670-\u275a\u2761-\u2767\u2776-\u27bf\u2b00-\u2bff\ufe0f\u20e3\U0001f000-\U0001faff"
_CLOSED = f"{_CLOSERS}{_QUOTES}{_EMOJI}{FORMAT_CHARACTERS}"
_STANDALONE_MARKS = f"{_SENTENCE_TERMINALS}{_CLOSERS}{_EMOJI}{FORMAT_CHARACTERS}.!?…,;:、，；：・"
_TOKEN = re.compile(
    rf"(?:[{_OPENERS}]*(?:"
    rf"[{UNSPACED_SCRIPTS}](?:{_STACKED}|[{_COMBINING_SIGNS}{_SENTENCE_TERMINALS}{_CLOSED}.!?…,;:、，；：・～])*"
    rf"|(?:(?<=[0-9０-９])．(?=[0-9０-９])|[^\s{UNSPACED_SCRIPTS}{_SENTENCE_TERMINALS}{_WIDE_OPENERS}])+(?:[{_SENTENCE_TERMINALS}]+[{_CLOSED}]*)*"
    rf"|[{_SENTENCE_TERMINALS}]+[{_CLOSED}]*)"
    rf"|[{_OPENERS}]+)"
    # "Ça va ?", "« Bonjour. »": marks and closers that stand alone belong to the word before them.
    rf"(?:\s+[{_STANDALONE_MARKS}]+(?=\s|$))*"
)
_UNSPACED_WORD = re.compile(rf"[{_OPENERS}]*[{UNSPACED_SCRIPTS}]")
_UNSPACED_CHARACTER = re.compile(f"[{UNSPACED_SCRIPTS}]")
_COMMAS = ",;:、，；："
_NEEDS_NO_SPACE = re.compile(rf"[{UNSPACED_SCRIPTS}{_SENTENCE_TERMINALS}、，；：・～{_WIDE_OPENERS}」』）】〉》〕]")
_MARKS = f"{_SENTENCE_TERMINALS}.!?…; "
# At the end of a word these close, whatever they open elsewhere: „…“, ‚…‘, »…«.
_CLOSING_AT_WORD_END = f"{_CLOSERS}{_QUOTES}“‘«‹".replace("\\", "")
_QUOTES_AND_BRACKETS = f"{_OPENERS}{_CLOSERS}{_QUOTES}".replace("\\", "")
# What refers to a footnote, and a dash that breaks off.
_FOOTNOTE_MARKS = "*†‡§¹²³⁰⁴-⁹–—"
_AFTER_MARK = re.compile(rf"(?:\[\d{{1,3}}\]|[\s{_EMOJI}{_FOOTNOTE_MARKS}{re.escape(_CLOSING_AT_WORD_END)}])+\Z")
_SONG = re.compile("[♩-♯]+")
_ONLY_STANDALONE_MARKS = re.compile(rf"[\s{_STANDALONE_MARKS}]+\Z")
_LEADING_MARKS = re.compile(rf"[{_SENTENCE_TERMINALS}{_CLOSERS}.!?…,;:、，；：]+(?:\s|\Z)")
"""Marks at the beginning of a text that belong to the one before it, without a space."""


class WordSpans(NamedTuple):
    """The words of a text: where each starts and stops, and `sizes[i]`, the size of all words before the i-th."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    sizes: tuple[int, ...]


@lru_cache(maxsize=2048)
def split_words(text: str) -> WordSpans:
    """Cut a text into its words; a script without spaces into its characters. Marks stay with what they follow."""
    starts: list[int] = []
    stops: list[int] = []
    sizes = [0]
    for match in _TOKEN.finditer(text):
        size = 1 if _UNSPACED_WORD.match(match[0]) else WORD_SIZE
        for start, stop in _split_long_word(text, match.start(), match.end()):
            starts.append(start)
            stops.append(stop)
            sizes.append(sizes[-1] + size)
    return WordSpans(tuple(starts), tuple(stops), tuple(sizes))


def _split_long_word(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The parts of a word that is too long for one; they part no character from the signs upon it."""
    end = next((i for i in range(start, stop) if text[i].isspace()), stop)
    while end - start > MAX_WORD_CHARS:
        part = start + WORD_PART_CHARS
        while part < end and (
            unicodedata.category(text[part])[0] in "MC" or unicodedata.category(text[part - 1]) == "Cf"
        ):
            part += 1
        yield start, part
        start = part
    if start < stop:
        yield start, stop


def is_attached_punctuation(word: str) -> bool:
    """Whether a word is but marks, closing quotes or emoji, which belong to the word before it."""
    return _ONLY_STANDALONE_MARKS.match(word) is not None


def is_pause(text: str, stop: int) -> bool:
    """Whether speech in a script without spaces pauses at a place in a text: at a space or after a comma."""
    if text[stop - 1] in _COMMAS:
        stop -= 1
    elif not text[stop : stop + 1].isspace():
        return False
    return stop > 0 and _UNSPACED_CHARACTER.match(text, stop - 1) is not None


def splits_unspaced_text(text: str, stop: int) -> bool:
    """Whether a cut at a place in a text lies between two characters of a script without spaces."""
    return bool(_UNSPACED_CHARACTER.match(text, stop - 1) and _UNSPACED_CHARACTER.match(text, stop))


def join_text(left: str, right: str) -> str:
    """Put two texts together, with a space unless their script, or a mark that begins the second, needs none."""
    tight = _LEADING_MARKS.match(right) or (_NEEDS_NO_SPACE.match(left[-1:]) and _NEEDS_NO_SPACE.match(right[:1]))
    if left and right and not tight:
        return f"{left} {right}"
    return left + right


def normalized_letters(text: str) -> str:
    """A text's letters and digits, without case."""
    return "".join(filter(str.isalnum, text)).casefold()


def is_sentence_end(before: tuple[str, ...], word: str, after: str | None, language: str | None = None) -> bool:
    """Whether a sentence ends after a word.

    Args:
        before: the words before it, two at most.
        word: the word, with its marks.
        after: the word that follows; None if nothing does yet.
        language: its tag, for its abbreviations and ordinals; where there is none, as in `operators.sentences.full_stops`.
    """
    if after is not None and is_attached_punctuation(after):
        return False  # It is decided after what belongs to the word.
    while before and is_attached_punctuation(word):
        before, word = before[:-1], before[-1] + word
    word = strip_format_characters(word)
    marked = _AFTER_MARK.sub("", word)
    core = marked.rstrip(_MARKS)
    mark = marked[len(core) :].strip()
    if not mark:
        return False
    closed = any(one in _CLOSING_AT_WORD_END for one in word[len(marked) :])
    core = core.strip(_QUOTES_AND_BRACKETS)
    if any(one in _SENTENCE_TERMINALS for one in mark):
        return True
    if ";" in mark:  # Greek asks with it.
        return core != "" and "\u0370" <= core[-1] <= "\u03ff"
    following = "" if after is None else strip_format_characters(after).lstrip(_QUOTES_AND_BRACKETS)
    if "…" in mark or ".." in mark:
        return after is None or following[:1].isupper()
    if closed and starts_lowercase(following):  # “Why?” she said
        return False
    if mark != "." or not core or _NEEDS_NO_SPACE.match(core[-1]):
        return True
    return full_stop_ends_sentence(before, core, None if after is None else following, language)


@lru_cache(maxsize=2048)
def sentence_ends(before: tuple[str, ...], text: str, after: str | None, language: str | None) -> tuple[int, ...]:
    """After which words of a text a sentence ends, as indices into `words(text)`.

    Args:
        before: the words before the text, two at most.
        text: some speech of one speaker.
        after: the word that follows it; None if nothing does yet.
        language: its tag, where it is known.
    """
    starts, stops, _ = split_words(text)
    end_indices: list[int] = []
    last = len(stops) - 1
    song = last > 0 and _SONG.fullmatch(text, starts[last], stops[last])
    for i, stop in enumerate(stops):
        if (text[stop - 1].isalnum() and text[stop - 1] not in _FOOTNOTE_MARKS) or _is_word_part(
            text, starts, stops, i
        ):
            continue
        if song and i == last - 1:
            continue
        # The note that closes a song belongs to it.
        word = i - 1 if song and i == last else i
        lead = slice(max(word - 2, 0), word)
        preceding_words = (*before, *(text[a:b] for a, b in zip(starts[lead], stops[lead], strict=True)))
        following = text[starts[i + 1] : stops[i + 1]] if i < last else after
        if is_sentence_end(preceding_words[-2:], text[starts[word] : stops[word]], following, language):
            end_indices.append(i)
    return tuple(end_indices)


def _is_word_part(text: str, starts: tuple[int, ...], stops: tuple[int, ...], i: int) -> bool:
    """Whether a word is a part of one that is too long, and not the last."""
    return (
        stops[i] - starts[i] >= WORD_PART_CHARS
        and stops[i : i + 1] == starts[i + 1 : i + 2]
        and not (
            _UNSPACED_WORD.match(text, starts[i])
            or _NEEDS_NO_SPACE.match(text, stops[i] - 1)
            or _UNSPACED_WORD.match(text, stops[i])
        )
    )
