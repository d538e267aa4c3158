"""Where a sentence ends: the words of a text, and after which of them a mark ends a sentence.

The decision looks at two words before and one after and at nothing else, so that it can be made anew from any place in
a text. Abbreviations are sentencex's knowledge, asked about that small window; the rules around it are for speech, and
for the scripts whose marks need no such care.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

WORD_SIZE = 2
"""The size of a word. A character of a script without spaces has size 1: two of them count as much as a word."""

# Unicode's Sentence_Terminal marks of the living scripts, and Tibetan's: each ends a sentence, with or without a space.
_STOPS = (
    "\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0964\u0965\u0f0d\u0f0e\u104b\u1362\u1367\u1368"
    "\u166e\u17d4\u17d5\u1803\u1809\u1944\u1945\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2cf9\u2cfa\u2cfb"
    "\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\uaa5d\uaa5e\uaa5f\uabeb"
    "\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
# Scripts without spaces: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han. Not their digits: a number is a word.
DENSE = (
    "\u0e01-\u0e4e\u0e81-\u0ecf\u0f00\u0f40-\u0fbc\u1000-\u103f\u104c-\u108f\u1780-\u17d3"
    "\u3005-\u3007\u3031-\u3035\u3041-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
# Their vowel signs, tones and length marks, which no cut may part from the character before them.
_ATTACHED = (
    "\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ecd\u0f0b\u0f71-\u0f84\u0f90-\u0fbc\u102b-\u103e\u1056-\u1059"
    "\u17b6-\u17d3\u3005\u3099-\u309e\u30fc-\u30fe\uff70\uff9e\uff9f"
)
_STACKED = "[\u17d2\u1039][\u1000-\u1021\u1780-\u17a2]"
_CLOSERS = "”’»›)\\]}」』）】〉》〕≫"
_WIDE_OPENERS = "「『（【〈《〔"
_OPENERS = f"“‘«‹(\\[{{≪¿¡„‚{_WIDE_OPENERS}"
_QUOTES = "\"'"
_CLOSED = f"{_CLOSERS}{_QUOTES}"
_TOKEN = re.compile(
    rf"(?:[{_OPENERS}]*(?:"
    rf"[{DENSE}](?:{_STACKED}|[{_ATTACHED}{_STOPS}{_CLOSED}.!?…,;:、，；：・～])*"
    rf"|(?:(?<=[0-9０-９])．(?=[0-9０-９])|[^\s{DENSE}{_STOPS}{_WIDE_OPENERS}])+(?:[{_STOPS}]+[{_CLOSED}]*)*"
    rf"|[{_STOPS}]+[{_CLOSED}]*)"
    rf"|[{_OPENERS}]+)"
    # "Ça va ?", "« Bonjour. »": marks and closers that stand alone belong to the word before them.
    rf"(?:\s+[{_STOPS}{_CLOSERS}.!?…]+(?=\s|$))*"
)
_DENSE_WORD = re.compile(rf"[{_OPENERS}]*[{DENSE}]")
_NEEDS_NO_SPACE = re.compile(rf"[{DENSE}{_STOPS}、，；：・～{_WIDE_OPENERS}」』）】〉》〕]")
_MARKS = f"{_STOPS}.!?…; "
_CLOSING = f"{_CLOSED} ".replace("\\", "")
_AROUND = f"{_OPENERS}{_CLOSED}".replace("\\", "")
_INITIAL = re.compile(r"[A-Z]\.$")

# After these more is always to come.
_NEVER_LAST = {"mr", "mrs", "ms", "dr", "prof", "e.g", "i.e", "eg", "ie", "vs", "cf", "approx"}
# Abbreviations to sentencex, words to a speaker.
_WORDS = {
    *("arc", "ark", "con", "dc", "fed", "id", "ill", "la", "ma", "may", "me", "miss", "mm", "no", "ok", "ore", "pa"),
    *("ps", "re", "rep"),
}
# How an answer begins. sentencex knows how written sentences begin.
_ANSWERS = {
    *("Yeah", "Yes", "Yep", "Yup", "Okay", "Ok", "Right", "Sure", "Exactly", "Fine", "Good", "Great", "Cool", "Thanks"),
    *("Um", "Uh", "Mm", "Mm-hmm", "Hmm", "Oh", "Ah", "Well", "Sorry"),
}


class Words(NamedTuple):
    """The words of a text: where each starts and stops, and `sizes[i]`, the size of all words before the i-th."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    sizes: tuple[int, ...]


@lru_cache(maxsize=2048)
def words(text: str) -> Words:
    """Cut a text into its words; a script without spaces into its characters. Marks stay with what they follow."""
    starts: list[int] = []
    stops: list[int] = []
    sizes = [0]
    for match in _TOKEN.finditer(text):
        starts.append(match.start())
        stops.append(match.end())
        sizes.append(sizes[-1] + (1 if _DENSE_WORD.match(match[0]) else WORD_SIZE))
    return Words(tuple(starts), tuple(stops), tuple(sizes))


def joined(left: str, right: str) -> str:
    """Put two texts together, with a space unless their script needs none."""
    if left and right and not (_NEEDS_NO_SPACE.match(left[-1]) and _NEEDS_NO_SPACE.match(right[0])):
        return f"{left} {right}"
    return left + right


def bare(text: str) -> str:
    """A text's letters and digits, without case."""
    return "".join(filter(str.isalnum, text)).casefold()


def ends_after(before: tuple[str, ...], word: str, after: str | None, language: str | None = None) -> bool:
    """Whether a sentence ends after a word.

    Args:
        before: the words before it, two at most.
        word: the word, with its marks.
        after: the word that follows; None if nothing does yet.
        language: its tag, for its abbreviations; English where there is none.
    """
    marked = word.rstrip(_CLOSING)
    core = marked.rstrip(_MARKS)
    mark = marked[len(core) :].strip()
    if not mark:
        return False
    closed = len(marked) < len(word)
    core = core.strip(_AROUND)
    if any(one in _STOPS for one in mark):
        return True
    if ";" in mark:  # Greek asks with it.
        return core != "" and "\u0370" <= core[-1] <= "\u03ff"
    following = "" if after is None else after.lstrip(_AROUND)
    if "…" in mark or ".." in mark:
        return after is None or following[:1].isupper()
    if closed and following[:1].islower():  # “Why?” she said
        return False
    if mark != "." or (core and _NEEDS_NO_SPACE.match(core[-1])):
        return True
    if after is None:
        return core.lower() not in _NEVER_LAST
    return _full_stop_ends(before, core, following, language)


def _full_stop_ends(before: tuple[str, ...], core: str, following: str, language: str | None) -> bool:
    """Whether the full stop between two words ends a sentence: the one mark that abbreviates as well."""
    folded = core.lower()
    beside_initial = _INITIAL.match(following) or (before and _INITIAL.match(before[-1]))
    if (folded in _WORDS or (core == "I" and not beside_initial)) and not (folded == "no" and following[:1].isdigit()):
        return True
    if following.rstrip(".,!?") in _ANSWERS and folded not in _NEVER_LAST:
        return True
    window = " ".join([*(word.strip(_AROUND) for word in before), f"{core}. "])
    position = 0
    for sentence in segment(language or "en", window + following):
        position += len(sentence)
        if position >= len(window):
            return position == len(window)
    return False


@lru_cache(maxsize=2048)
def ends(before: tuple[str, ...], text: str, after: str | None, language: str | None) -> tuple[int, ...]:
    """After which words of a text a sentence ends, as indices into `words(text)`.

    Args:
        before: the words before the text, two at most.
        text: some speech of one speaker.
        after: the word that follows it; None if nothing does yet.
        language: its tag, where it is known.
    """
    starts, stops, _ = words(text)
    found: list[int] = []
    for i, stop in enumerate(stops):
        if text[stop - 1].isalnum():
            continue
        lead = slice(max(i - 2, 0), i)
        around = (*before, *(text[a:b] for a, b in zip(starts[lead], stops[lead], strict=True)))
        following = text[starts[i + 1] : stops[i + 1]] if i + 1 < len(stops) else after
        if ends_after(around[-2:], text[starts[i] : stop], following, language):
            found.append(i)
    return tuple(found)
