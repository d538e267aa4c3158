"""Whether a translation keeps what is the same in every language: addresses, names made of letters and figures, who is spoken of.

Only what is certainly a name counts. Most names change with the language (`Edinburgh`, `USA`) or can't be told from words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from serve.languages import base, written
from serve.terms import has_term

_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>\"“”«»]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\b(?:[a-z\d-]+\.)+(?:com|org|net|io|dev)\b(?:/[^\s<>\"]*)?",
    re.IGNORECASE,
)
_AFTER_AN_ADDRESS = ".,;:!?)]}'’…"
_WORD = re.compile(r"(?<![\w@.-])[A-Za-z][A-Za-z\d]*(?:[.-][A-Za-z\d]+)*(?![\w@])")
_CODED = re.compile(r"[A-Za-z]\d|[A-Z]-\d")
"""In a name that has figures: `GPT4`, `v2.1`, `F-16`; not `mid-2024`."""
_PERIOD = re.compile(r"(?:Q|H|FY)\d+", re.IGNORECASE)
"""A quarter, half or year. Languages have their own letters for them."""
_CAMEL = re.compile(r"[a-z][A-Z]")
_DEGREES = frozenset({"PhD", "PhDs"})
_ENDING = re.compile(r"(?<=[A-Za-z\d]{2})s$")
"""Of several. The name is there without it, too."""
_CLOSE = re.compile(r"[\s\-\u2010-\u2015]+")
_BEGINS = re.compile(r"(?:^|[.!?…:]\s|[\"“«(\n])\s*$")
"""What stands before the first word of a sentence, whose capital says nothing."""
_OTHER_SPELLING = frozenset({"az", "lt", "lv"})
"""Languages that write foreign names their own way."""


def addresses(text: str) -> list[str]:
    """The addresses in a text, of pages and of mail."""
    return [match[0].rstrip(_AFTER_AN_ADDRESS) for match in _ADDRESS.finditer(text)]


def missing_names(said: str, answer: str, source: str, target: str, speakers: Iterable[str] = ()) -> list[str]:
    """The names said that a translation hasn't.

    Args:
        said: what was said.
        answer: the translation.
        source, target: their languages' tags.
        speakers: names of people in the meeting.

    >>> missing_names("Send the iPhone 15 notes to ann@example.org, Bob.", "Envie as notas.", "en", "pt", ["Bob"])
    ['ann@example.org', 'iPhone', 'Bob']
    """
    alike = written(source)[1] == written(target)[1]
    close = _closed(answer)
    missed = [name for name in addresses(said) if _closed(name) not in close]
    words = [name for name in _identifiers(_ADDRESS.sub(" ", said)) if alike or not _may_be_transcribed(name)]
    missed += [name for name in words if _closed(_ENDING.sub("", name)) not in close]
    if alike and base(source) != "de" and base(target) not in _OTHER_SPELLING:
        missed += [name for name in _spoken_of(said, speakers) if not has_term(answer, name, target)]
    return list(dict.fromkeys(missed))


def _identifiers(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match[0]
        coded = _CODED.search(word) is not None and not _PERIOD.fullmatch(word)
        camel = any(map(_CAMEL.search, word.split("-"))) and word not in _DEGREES
        if coded or camel:
            yield word


def _may_be_transcribed(name: str) -> bool:
    """Whether another script may write a name with its own letters: one that begins as names of people and places do."""
    return name[0].isupper() and not _CODED.search(name)


def _spoken_of(text: str, speakers: Iterable[str]) -> Iterator[str]:
    """The names of people that stand within a sentence with a capital."""
    for name in dict.fromkeys(word for speaker in speakers for word in speaker.split()):
        if len(name) < 3 or not name.istitle() or not name.isalpha():
            continue
        if any(not _BEGINS.search(text[: match.start()]) for match in re.finditer(rf"\b{re.escape(name)}\b", text)):
            yield name


def _closed(text: str) -> str:
    """A text as it is compared: without case, forms of width, hyphens and spaces."""
    return _CLOSE.sub("", unicodedata.normalize("NFKC", text).casefold()).replace(",", ".")
