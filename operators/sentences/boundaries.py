"""Sentence boundaries: the words of a text, and the words after which a mark ends a sentence.

The decision depends on two words before and one word after only. So it can be repeated from any position of a text. Full
stops are ambiguous: `operators.sentences.full_stops` decides on them. Standalone marks, closing quotes and emoji belong to
the word before them, even in a chunk of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from operators.characters import FORMAT_CHARACTERS, strip_format_characters
from operators.sentences.abbreviations import words_of_all_languages
from operators.sentences.full_stops import full_stop_ends_sentence, starts_lowercase

WORD_SIZE = 2
"""The size of a word. A character of a script without spaces has size 1, so two of them count as one word."""
MAX_WORD_CHARS = 200
"""Maximum length of a word, such as an address. Longer words are split into parts of `WORD_PART_CHARS`."""
WORD_PART_CHARS = 20
"""Length of the parts of a word that is too long."""
MAX_COMBINED_CHARS = 10
"""Maximum number of combining signs by which such a part is longer."""
MAX_MARK_CHARS = 16
"""Maximum length of standalone marks that belong to the word before them."""
MAX_MARK_WORDS = 2
"""Maximum number of consecutive words of standalone marks that belong to the word before them."""

# Unicode's Sentence_Terminal marks of the scripts in use, and Tibetan's. Each ends a sentence, even without a space after it.
_SENTENCE_TERMINALS = (
    "\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0964\u0965\u0f0d\u0f0e\u104b\u1362\u1367\u1368"
    "\u166e\u17d4\u17d5\u1803\u1809\u1944\u1945\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2cf9\u2cfa\u2cfb"
    "\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\uaa5d\uaa5e\uaa5f\uabeb"
    "\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
# Scripts without spaces: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han. Without their digits, because a number is a word.
UNSPACED_SCRIPTS = (
    "\u0e01-\u0e4e\u0e81-\u0ecf\u0f00\u0f40-\u0fbc\u1000-\u103f\u104c-\u108f\u1780-\u17d3"
    "\u3005-\u3007\u3031-\u3035\u3041-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
# The vowel signs, tones and length marks of these scripts. No boundary may separate them from the character before them.
_COMBINING_SIGNS = (
    "\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ecd\u0f0b\u0f71-\u0f84\u0f90-\u0fbc\u102b-\u103e\u1056-\u1059"
    "\u17b6-\u17d3\u3005\u3099-\u309e\u30fc-\u30fe\uff70\uff9e\uff9f"
)
_STACKED = "[\u17d2\u1039][\u1000-\u1021\u1780-\u17a2]"
_CLOSERS = "”’»›)\\]}」』）】〉》〕≫"
_WIDE_OPENERS = "「『（【〈《〔"
_OPENERS = f"“‘«‹(\\[{{≪¿¡„‚{_WIDE_OPENERS}"
_QUOTES = "\"'״"
# Without musical notes and ornamental brackets, because these open as well as close.
_EMOJI = "\u2600-\u2668\u2670-\u275a\u2761-\u2767\u2776-\u27bf\u2b00-\u2bff\ufe0f\u20e3\U0001f000-\U0001faff"
_CLOSED = f"{_CLOSERS}{_QUOTES}{_EMOJI}{FORMAT_CHARACTERS}"
# Commas, semicolons and colons of all scripts in use.
_COMMAS = ",;:、，；：\u055d\u060c\u061b\u066b\u1363-\u1366\u104a\u1802\u1808\u0387\u00b7\ufe50\ufe51\ufe54\ufe55\uff64"
_STANDALONE_MARKS = f"{_SENTENCE_TERMINALS}{_CLOSERS}{_EMOJI}{FORMAT_CHARACTERS}.!?…{_COMMAS}・\u055b\u055c\u055e"
_TOKEN = re.compile(
    rf"(?:[{_OPENERS}]*(?:"
    rf"[{UNSPACED_SCRIPTS}](?:{_STACKED}|[{_COMBINING_SIGNS}{_SENTENCE_TERMINALS}{_CLOSED}.!?…,;:、，；：・～])*"
    rf"|(?:(?<=[0-9０-９])．(?=[0-9０-９])|[^\s{UNSPACED_SCRIPTS}{_SENTENCE_TERMINALS}{_WIDE_OPENERS}])+(?:[{_SENTENCE_TERMINALS}]+[{_CLOSED}]*)*"
    rf"|[{_SENTENCE_TERMINALS}]+[{_CLOSED}]*)"
    rf"|[{_OPENERS}]+)"
    # "Ça va ?", "« Bonjour. »": standalone marks and closers belong to the word before them.
    rf"(?:\s+[{_STANDALONE_MARKS}]{{1,{MAX_MARK_CHARS}}}[{_QUOTES}]?(?=\s|$)){{0,{MAX_MARK_CHARS // 2}}}"
)
_UNSPACED_WORD = re.compile(rf"[{_OPENERS}]*[{UNSPACED_SCRIPTS}]")
_UNSPACED_CHARACTER = re.compile(f"[{UNSPACED_SCRIPTS}]")
_COMMA = re.compile(f"[{_COMMAS}]")
_NEEDS_NO_SPACE = re.compile(rf"[{UNSPACED_SCRIPTS}{_SENTENCE_TERMINALS}、，；：・～{_WIDE_OPENERS}」』）】〉》〕]")
_MARKS = f"{_SENTENCE_TERMINALS}.!?…; "
# At the end of a word these close, even if they open in other positions: „…“, ‚…‘, »…«.
_CLOSING_AT_WORD_END = f"{_CLOSERS}{_QUOTES}“‘«‹".replace("\\", "")
_QUOTES_AND_BRACKETS = f"{_OPENERS}{_CLOSERS}{_QUOTES}".replace("\\", "")
# Footnote references, and the dash of an interrupted sentence.
_FOOTNOTE_MARKS = "*†‡§¹²³⁰⁴-⁹–—"
_AFTER_MARK = re.compile(rf"(?:\[\d{{1,3}}\]|[\s{_EMOJI}{_FOOTNOTE_MARKS}{re.escape(_CLOSING_AT_WORD_END)}])+\Z")
_SONG = re.compile("[♩-♯]+")
_ONLY_STANDALONE_MARKS = re.compile(
    rf"[{_STANDALONE_MARKS}][\s{_STANDALONE_MARKS}{_QUOTES}]{{0,{MAX_MARK_CHARS - 1}}}\Z"
)
_LEADING_MARKS = re.compile(
    rf"[{_SENTENCE_TERMINALS}{_CLOSERS}.!?…{_COMMAS}\u055b\u055c\u055e][{_SENTENCE_TERMINALS}{_CLOSERS}{_QUOTES}.!?…{_COMMAS}]*(?:\s|\Z)"
)
"""Marks at the beginning of a text that belong to the text before it, without a space between them."""
_TRAILING_OPENER = re.compile(r"[(\[{≪¿¡„‚]\Z|(?:\A|[\s(\[{¿¡„‚“‘«‹])[“‘«‹]\Z")
"""An opening mark at the end of a text, which belongs to the text after it. “ may close as well, next to a word: „…“."""
_STRAIGHT_QUOTE = re.compile(r'"[.!?…,;:]*(?:\s|\Z)')
_LOW_QUOTE_CLOSER = re.compile(r"[“‘][.!?…,;:]*(?:\s|\Z)")
_ONLY_OPENERS = re.compile(f"[{_OPENERS}]+\\Z")


class WordSpans(NamedTuple):
    """The words of a text.

    Attributes:
        starts: the offset of each word.
        stops: the offset after each word.
        sizes: `sizes[i]` is the total size of the words before the i-th; the last item is the size of the text.
    """

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    sizes: tuple[int, ...]


@lru_cache(maxsize=2048)
def split_words(text: str) -> WordSpans:
    """Split a text into words, and a script without spaces into characters. Marks stay with the word before them."""
    starts: list[int] = []
    stops: list[int] = []
    sizes = [0]
    is_ascii = text.isascii()
    for match in _TOKEN.finditer(text):
        start, stop = match.span()
        size = WORD_SIZE if is_ascii or not _UNSPACED_WORD.match(match[0]) else 1
        parts = ((start, stop),) if stop - start <= MAX_WORD_CHARS else _split_long_word(text, start, stop)
        for part_start, part_stop in parts:
            starts.append(part_start)
            stops.append(part_stop)
            sizes.append(sizes[-1] + (WORD_SIZE if part_stop - part_start >= WORD_PART_CHARS else size))
    return WordSpans(tuple(starts), tuple(stops), tuple(sizes))


@lru_cache(maxsize=2048)
def word_texts(text: str) -> tuple[str, ...]:
    """Return the words of a text, as `split_words` finds them."""
    starts, stops, _ = split_words(text)
    return tuple(text[start:stop] for start, stop in zip(starts, stops, strict=True))


def _split_long_word(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a word that is too long. No character is separated from its combining signs, if they are few."""
    end = next((i for i in range(start, stop) if text[i].isspace()), stop)
    while end - start > MAX_WORD_CHARS:
        part = start + WORD_PART_CHARS
        limit = min(end, part + MAX_COMBINED_CHARS)
        while part < limit and _is_combined(text, part):
            part += 1
        yield start, part
        start = part
    if start < stop:
        yield start, stop


def _is_combined(text: str, offset: int) -> bool:
    """Return whether a character is one with the character before it: a combining sign, or a part of an emoji."""
    return (
        unicodedata.category(text[offset])[0] in "MC"
        or unicodedata.category(text[offset - 1]) == "Cf"
        or "\U0001f3fb" <= text[offset] <= "\U0001f3ff"
    )


def is_attached_punctuation(word: str) -> bool:
    """Return whether a word consists of a few marks, closing quotes and emoji only, which belong to the word before it."""
    return _ONLY_STANDALONE_MARKS.match(word) is not None


def is_opening_punctuation(word: str) -> bool:
    """Return whether a word consists of opening quotes and brackets only, which belong to the word after it."""
    return _ONLY_OPENERS.match(word) is not None


def is_pause(text: str, stop: int) -> bool:
    """Return whether a text in a script without spaces has a space or a comma at an offset, which indicates a pause."""
    if _COMMA.match(text, stop - 1):
        stop -= 1
    elif not text[stop : stop + 1].isspace():
        return False
    return stop > 0 and _UNSPACED_CHARACTER.match(text, stop - 1) is not None


def splits_unspaced_text(text: str, stop: int) -> bool:
    """Return whether an offset in a text is between two characters of a script without spaces."""
    return bool(_UNSPACED_CHARACTER.match(text, stop - 1) and _UNSPACED_CHARACTER.match(text, stop))


def join_text(left: str, right: str) -> str:
    """Join two texts, with a space unless their script, or a mark between them, needs none."""
    tight = (
        _LEADING_MARKS.match(right)
        or _TRAILING_OPENER.search(left, max(len(left) - 2, 0))
        or (_NEEDS_NO_SPACE.match(left[-1:]) and _NEEDS_NO_SPACE.match(right[:1]))
        or _is_within_quotes(left, right)
    )
    if left and right and not tight:
        return f"{left} {right}"
    return left + right


def _is_within_quotes(left: str, right: str) -> bool:
    """Return whether a quote between two texts is at the begin or end of the quotation, by the quotes before it."""
    if left.endswith('"') and (len(left) == 1 or left[-2].isspace()):
        return left.count('"') % 2 == 1
    if _STRAIGHT_QUOTE.match(right):
        return left.count('"') % 2 == 1
    if _LOW_QUOTE_CLOSER.match(right):
        return left.count("„") + left.count("‚") > left.count("“") + left.count("‘")
    return False


def normalized_letters(text: str) -> str:
    """Return a text's letters and digits, casefolded."""
    return "".join(filter(str.isalnum, text)).casefold()


def is_sentence_end(before: tuple[str, ...], word: str, after: str | None, language: str | None = None) -> bool:
    """Return whether a sentence ends after a word.

    Args:
        before: the last words before it, at most two.
        word: the word, with its marks.
        after: the next word; None if there is none yet.
        language: the language tag, for abbreviations and ordinals. If None, `operators.sentences.full_stops` chooses one.
    """
    is_marks = is_attached_punctuation(word)
    if (
        after is not None
        and is_attached_punctuation(after)
        and not (is_marks and len(before) == MAX_MARK_WORDS and is_attached_punctuation(before[-1]))
    ):
        return False  # The decision is made at the last mark that belongs to the word.
    if is_marks and len(before) < MAX_MARK_WORDS and all(map(is_attached_punctuation, before)):
        return False  # Nothing was said before these marks.
    while before and is_attached_punctuation(word):
        before, word = before[:-1], before[-1] + word
    word = strip_format_characters(word)
    marked = _AFTER_MARK.sub("", word)
    core = marked.rstrip(_MARKS)
    mark = marked[len(core) :].strip()
    if not mark:
        return False
    closed = any(character in _CLOSING_AT_WORD_END for character in word[len(marked) :])
    core = core.strip(_QUOTES_AND_BRACKETS)
    if closed and after is not None and after.startswith(_quotative_particles()):  # 「行こう。」と言った
        return False
    if any(character in _SENTENCE_TERMINALS for character in mark):
        return True
    if ";" in mark:  # The Greek question mark.
        return core != "" and "\u0370" <= core[-1] <= "\u03ff"
    following = "" if after is None else strip_format_characters(after).lstrip(_QUOTES_AND_BRACKETS)
    if "…" in mark or ".." in mark:
        return after is None or following[:1].isupper()
    if closed and starts_lowercase(following):  # “Why?” she said
        return False
    if mark != "." or not core or _NEEDS_NO_SPACE.match(core[-1]):
        return True
    return full_stop_ends_sentence(before, core, None if after is None else following, language)


@cache
def _quotative_particles() -> tuple[str, ...]:
    return tuple(words_of_all_languages("quotative_particles"))


@lru_cache(maxsize=2048)
def sentence_ends(before: tuple[str, ...], text: str, after: str | None, language: str | None) -> tuple[int, ...]:
    """Return the words of a text after which a sentence ends, as indices into `split_words(text)`.

    Args:
        before: the last words before the text, at most two.
        text: speech of one speaker.
        after: the word after the text; None if there is none yet.
        language: the language tag; None if it is not known.
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
        # The musical note at the end of a song belongs to its last sentence.
        word = i - 1 if song and i == last else i
        lead = slice(max(word - 2, 0), word)
        preceding_words = (*before, *(text[a:b] for a, b in zip(starts[lead], stops[lead], strict=True)))
        following = text[starts[i + 1] : stops[i + 1]] if i < last else after
        if is_sentence_end(preceding_words[-2:], text[starts[word] : stops[word]], following, language):
            end_indices.append(i)
    return tuple(end_indices)


def _is_word_part(text: str, starts: tuple[int, ...], stops: tuple[int, ...], i: int) -> bool:
    """Return whether a word is a part of a word that was too long, and not its last part."""
    return (
        stops[i] - starts[i] >= WORD_PART_CHARS
        and stops[i : i + 1] == starts[i + 1 : i + 2]
        and not (
            _UNSPACED_WORD.match(text, starts[i])
            or _NEEDS_NO_SPACE.match(text, stops[i] - 1)
            or _UNSPACED_WORD.match(text, stops[i])
        )
    )
