"""Takes the romanisation out of a translation into a language that has other letters: `大家好 (Dàjiā hǎo)`."""

from __future__ import annotations

import re
import unicodedata

from serve.engines.engine import Utterance
from serve.scripts import is_latin, scripts

_BRACKETED = re.compile(r"\s*[*_]*[(\[（【]([^()\[\]（）【】]{2,}?)[)\]）】][*_]*")
_BRACKETS = re.compile(r"[()\[\]（）【】]")
_TAIL = re.compile(r"(?:(?<=[.!?。！？…।۔؟])|\n|\s[-–—/|]\s)\s*[*_\"“]*([^\n。！？।۔؟]+)$")
_TONES = re.compile(r"\s+([^\W\d_]+(?:[\s,'’-]+[^\W\d_]+)*[.!?]?)$")
_WORD = re.compile(r"[^\W\d_]+")
_FEWEST = 2
"""Words of a romanisation behind a translation. A single one may be a name."""


def without_romanisation(text: str, question: Utterance) -> str:
    """An answer without its romanisation. Latin words that were said, or are in a term, stay."""
    if "Latn" in scripts(question.target) or is_latin(text):
        return text
    known = " ".join([question.text, *(each.target for each in (*question.glossary, *question.terms))]).casefold()
    if not _BRACKETS.search(question.text):
        text = _BRACKETED.sub(lambda found: "" if _is_romanised(found[1], known) else found[0], text)
    found = _TAIL.search(text)
    if found and _is_romanised(found[1], known, _FEWEST) and not is_latin(text[: found.start()]):
        text = text[: found.start()]
    found = _TONES.search(text)
    if found and _is_romanised(found[1], known, _FEWEST) and _has_tones(found[1]):
        text = text[: found.start()]
    return text


def _is_romanised(text: str, known: str, fewest: int = 1) -> bool:
    """Whether a text has Latin words only, and none that may be said as they are."""
    words = _WORD.findall(text.casefold())
    return len(words) >= fewest and is_latin(text) and not any(word in known for word in words if len(word) > 2)


def _has_tones(text: str) -> bool:
    return any(unicodedata.combining(mark) for mark in unicodedata.normalize("NFD", text))
