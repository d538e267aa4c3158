"""Word lists in data files, and the patterns built from them.

A data file is TOML, in the folder `data` of a package, with a list of words for each language. A word may begin or end with
`*`, which stands for any other letters. A word with `!` is an exception from the words of its list.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from itertools import chain
from typing import Any


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
    r"""Return a regular expression that matches the beginning of each word, or all of a word without `*` at its end.

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


def _ending_pattern(word: str) -> str:
    stem = _escape(word.removesuffix("*"))
    return stem if word.endswith("*") else rf"{stem}\b"


def _escape(text: str) -> str:
    return re.escape(text).replace(r"\ ", " ")
