"""Word lists in data files, and the patterns built from them.

A data file is TOML, in the folder `data` of a package, with a list of words for each language. A word may begin or end with
`*`, which stands for any other letters. A word with `!` is an exception from the words of its list.

A phrase is a list of slots, with one word or one of several words in each: see `phrase_pattern`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from typing import Any, TypedDict

_CLAUSE_START = r"(?:^|[、。,，\s])"
_CAPITALS = re.compile(r"[^\W\d_]{2,}")


class RepeatedSlot(TypedDict):
    """A slot of one or more words of a list.

    Attributes:
        words: the words.
        max_count: how many of them may follow each other.
    """

    words: list[str]
    max_count: int


class Gap(TypedDict):
    """Any text between two slots of a phrase.

    Attributes:
        max_gap_chars: its maximum length.
    """

    max_gap_chars: int


Slot = str | list[str] | RepeatedSlot | Gap


def read_word_lists(package: str, name: str) -> dict[str, Any]:
    """Read a data file.

    Args:
        package: the package that contains the folder `data`.
        name: the file's name, without its suffix.
    """
    return tomllib.loads(files(package).joinpath("data", f"{name}.toml").read_text("utf-8"))


def all_words(lists: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the words of all languages, each once."""
    return list(dict.fromkeys(chain.from_iterable(lists.values())))


def word_pattern(words: Iterable[str], *, start: str = r"\b") -> str:
    r"""Return a regular expression that matches the beginning of each word. Without `*` at its end, a word matches as a whole.

    Args:
        words: the words.
        start: what must be before a word, as a regular expression. A word with `*` before it may begin anywhere.

    >>> word_pattern(["zwei*", "zwo", "!zweifel*", "*半*"])
    '(?:\\b(?!zweifel)(?:zwei|zwo\\b)|半)'
    """
    exceptions = [_ending_pattern(word[1:]) for word in words if word.startswith("!")]
    anywhere = [_ending_pattern(word[1:]) for word in words if word.startswith("*")]
    anchored = [_ending_pattern(word) for word in words if word[0] not in "!*"]
    excluded = f"(?!{'|'.join(exceptions)})" if exceptions else ""
    alternatives = [f"{start}{excluded}(?:{'|'.join(anchored)})"] if anchored else []
    return f"(?:{'|'.join([*alternatives, *anywhere])})"


def any_of(words: Iterable[str]) -> str:
    r"""Return a regular expression that matches each word as written, at any place. `*` at its end stands for more letters.

    >>> any_of(["formal", "literal*"])
    '(?:formal|literal\\w*)'
    """
    texts = (_escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in words)
    return f"(?:{'|'.join(texts)})"


def phrase_pattern(slots: Sequence[Slot], *, has_spaces: bool = True) -> str:
    r"""Return a regular expression that matches a phrase: one word of each slot, in this order.

    Args:
        slots: words, lists of words, and gaps. A list with "" is optional; in a language with spaces, the first and the
            last slot can't be. Capitals match capitals only. A word with `^` begins a clause, the word `$` is the end of
            the text.
        has_spaces: whether the language puts spaces between words. If it doesn't, a phrase may begin and end anywhere.

    >>> phrase_pattern([["i", "i'm"], ["", "not"], "able*"])
    "(?:\\bi|\\bi'm) (?:not )?able\\w*"
    >>> phrase_pattern(["ask", {"max_gap_chars": 9}, "*text"])
    '\\bask\\b.{0,9}text\\b'
    >>> phrase_pattern([["^作为", "我作为"], ["", "一个"], "ai"], has_spaces=False)
    '(?:(?:^|[、。,，\\s])作为|我作为)(?:一个)?ai'
    """
    parts: list[str] = []
    for index, slot in enumerate(slots):
        if isinstance(slot, dict) and "max_gap_chars" in slot:
            parts.append(f".{{0,{slot['max_gap_chars']}}}")
            continue
        words = [slot] if isinstance(slot, str) else slot["words"] if isinstance(slot, dict) else slot
        begins, ends = _is_edge(slots, index - 1), _is_edge(slots, index + 1)
        texts = [_slot_word(word, begins and has_spaces, ends and has_spaces) for word in words if word]
        pattern = texts[0] if len(texts) == 1 else f"(?:{'|'.join(texts)})"
        pattern += "" if ends or not has_spaces else " "
        if isinstance(slot, dict):
            pattern = f"(?:{pattern}){{1,{slot['max_count']}}}"
        parts.append(f"(?:{pattern})?" if "" in words else pattern)
    return "".join(parts)


def _is_edge(slots: Sequence[Slot], index: int) -> bool:
    """Whether there is no slot with words at an index: a phrase or a part of it begins or ends beside it."""
    return not 0 <= index < len(slots) or (isinstance(slot := slots[index], dict) and "max_gap_chars" in slot)


def _slot_word(word: str, begins: bool, ends: bool) -> str:
    """Return the pattern of a slot's word.

    Args:
        word: the word, with its marks.
        begins: whether the word must begin here.
        ends: whether the word must end here.
    """
    if word == "$":
        return word
    text = word.strip("*^")
    start = r"\b" if begins and text[0].isalnum() and word[0] not in "*^" else ""
    end = r"\w*" if word.endswith("*") else r"\b" if ends and text[-1].isalnum() else ""
    pattern = _CAPITALS.sub(lambda found: f"(?-i:{found[0]})" if found[0].isupper() else found[0], _escape(text))
    return f"{_CLAUSE_START if word.startswith('^') else start}{pattern}{end}"


def _ending_pattern(word: str) -> str:
    stem = _escape(word.removesuffix("*"))
    return stem if word.endswith("*") else rf"{stem}\b"


def _escape(text: str) -> str:
    return re.escape(text).replace(r"\ ", " ")
