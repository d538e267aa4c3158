"""Removes the romanisation from a translation into a language of another script: `大家好 (Dàjiā hǎo)`."""

from __future__ import annotations

import re
import unicodedata

from serve.engines.protocol import Utterance
from serve.text.writing_systems import is_latin, scripts_of
from serve.translation.quality.named_entities import find_addresses

_BRACKETED = re.compile(r"\s*[*_]*[(\[（【]([^()\[\]（）【】]{2,}?)[)\]）】][*_]*")
_BRACKETS = re.compile(r"[()\[\]（）【】]")
_LAST_SENTENCE = re.compile(r"(?:(?<=[.!?。！？…।۔؟])\s|\n|\s[-–—/|]\s)\s*[*_\"“]*([^\n。！？।۔؟]+)$")
_TRAILING_WORDS = re.compile(r"\s+([^\W\d_]+(?:[\s,'’-]+[^\W\d_]+)*[.!?]?)$")
_WORD = re.compile(r"[^\W\d_]+")
_MIN_WORDS = 2
"""Minimum number of words of a romanisation after a translation. A single word may be a name."""
_MIN_LETTERS = 3
"""Letters of a word that is compared with parts of words of the source text. Shorter words occur in longer ones by chance."""


def strip_romanisation(text: str, request: Utterance) -> str:
    """Remove the romanisation from an answer. Latin words of the source text or of a term stay."""
    if "Latn" in scripts_of(request.target) or is_latin(text):
        return text
    known_text = " ".join([request.text, *(each.target for each in (*request.glossary, *request.terms))])
    if not _BRACKETS.search(request.text):
        text = _BRACKETED.sub(lambda found: "" if _is_romanisation(found[1], known_text) else found[0], text)
    match = _LAST_SENTENCE.search(text)
    if match and _is_romanisation(match[1], known_text, _MIN_WORDS) and not is_latin(text[: match.start()]):
        text = text[: match.start()]
    match = _TRAILING_WORDS.search(text)
    if match and _is_romanisation(match[1], known_text, _MIN_WORDS) and _has_tones(match[1]):
        text = text[: match.start()]
    return text


def _is_romanisation(text: str, known_text: str, min_words: int = 1) -> bool:
    """Whether a text has Latin words only, one of them not short, and no address, name or word of the source text or the terms."""
    words = _WORD.findall(text)
    long_words = [word.casefold() for word in words if len(word) >= _MIN_LETTERS]
    # `no` and `de` occur in romanised text as well as in other languages. With a capital, a short word is a name.
    names = {word for word in words if len(word) < _MIN_LETTERS and word[0].isupper()}
    return (
        len(words) >= min_words
        and is_latin(text)
        and bool(long_words)
        and not any(word in known_text.casefold() for word in long_words)
        and names.isdisjoint(_WORD.findall(known_text))
        and not find_addresses(text)
    )


def _has_tones(text: str) -> bool:
    return any(unicodedata.combining(mark) for mark in unicodedata.normalize("NFD", text))
