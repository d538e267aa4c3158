"""Detects degenerate output: repetition loops, error messages and placeholders.

The words by language are in `data/degenerate_output.toml`.
"""

from __future__ import annotations

import re
import unicodedata

from operators.word_lists import all_words, any_of, read_word_lists, word_pattern

_WORDS = {
    name: all_words(lists) for name, lists in read_word_lists("serve.translation.llm", "degenerate_output").items()
}
_REPETITION = re.compile(r"(\S.{3,200}?)(?:[\s,;/|]*\1){3,}", re.DOTALL | re.IGNORECASE)
"""A part of a text, repeated four times in a row."""
_WHOLE_REPETITION = re.compile(r"(\S.{3,200}?)(?:\W*\1){2,}\W*", re.DOTALL | re.IGNORECASE)
"""A text that is one part, repeated three times."""
_WHOLE_TWICE = re.compile(r"\W*(\w.{3,}\w)\W+\1\W*", re.DOTALL | re.IGNORECASE)
"""A text that is one part, said twice."""
_SPOKEN_TWICE = re.compile(r"(\w.{2,}?)\W+\1", re.DOTALL | re.IGNORECASE)
_EMPHASIS = re.compile(r"\W*(\w+)(?:\W+\1){1,3}\W*", re.IGNORECASE)
"""One word up to four times, as in speech: `Yeah, yeah, yeah.`"""
_MIN_SENTENCE_LETTERS = 20
"""Letters of a part that is hardly said twice for emphasis."""
_SPOKEN_REPETITION = re.compile(r"(\w+)(?:\W+\1){2,}|(\w.{1,60}?)(?:\W+\2){2,}|(\w{1,4}?)\3{2,}", re.IGNORECASE)
"""Repetition as it occurs in speech."""
_ERROR_MESSAGE = re.compile(
    r"^(?:<!doctype\b|<html\b|<error\b|[{\[\s]*\"error\")"
    r"|^\W*(?:\d{3}\s+)?(?:(?:\w+ )?error(?: code)?(?:\s*\d{3})?\s*[:：]|[\w.]*(?:Error|Exception)\s*[:：(]"
    r"|HTTP(?:/\d\S*)?\s*\d{3}\b|Traceback \(most"
    rf"|{any_of(_WORDS['server_messages'])}(?!\w)|{any_of(_WORDS['error_labels'])}\s*[:：]|(?<=[\[(])error[\])])",
    re.IGNORECASE,
)
_ERROR_WORD = re.compile(
    rf"^\W*(?:error|exception|{any_of(_WORDS['error_labels'])})(?: code)?\W*\d{{0,3}}\W*$", re.IGNORECASE
)
"""An answer of one word for an error, with its number: `Erro 500`."""
_SPOKEN_ERROR = re.compile(word_pattern(_WORDS["spoken_errors"]), re.IGNORECASE)
_EMPTY_VALUES = frozenset(
    {"null", "none", "undefined", "nan", "n/a", "nil", "empty", "[object object]", "string", "...", "placeholder"}
)
_TODO = re.compile(r"^\W*(?:TODO|TBD|TBA|FIXME|XXX)\W*$|^(?i:\W*lorem ipsum)")
_MISSING_TRANSLATION = re.compile(rf"^\W*{any_of(_WORDS['missing_translations'])}(?!\w).{{0,40}}$", re.IGNORECASE)
_TRANSLATION_WORD = re.compile(
    word_pattern(all_words(read_word_lists("serve.translation.llm", "labels")["translation_words"])), re.IGNORECASE
)
_BRACKETED = re.compile(r"^[(\[（【<*]+([^()\[\]（）【】*<>]*)[)\]）】>*]+[.。]?$")
_OPENING_BRACKETS = "([（【<*"
_MIN_COMPARABLE_LETTERS = 12
"""Letters of a source text from which the length of its translation can be estimated."""


def is_repetitive(text: str, source_text: str) -> bool:
    """Whether an answer repeats a part of itself again and again, or all of itself, and the source text doesn't."""
    if _SPOKEN_REPETITION.search(source_text) or _EMPHASIS.fullmatch(text):
        return False
    match = _WHOLE_REPETITION.fullmatch(text.strip()) or _REPETITION.search(text)
    if match is not None and any(map(str.isalpha, match[1])):
        return True
    match = None if _SPOKEN_TWICE.search(source_text) else _WHOLE_TWICE.fullmatch(text)
    return match is not None and _count_letters(match[1]) >= _MIN_SENTENCE_LETTERS


def is_error_message(text: str, source_text: str) -> bool:
    """Whether an answer is a program's error message, and the source text doesn't mention errors."""
    if _SPOKEN_ERROR.search(source_text):
        return False
    is_word = _ERROR_WORD.match(text) is not None and _count_letters(source_text) >= _MIN_COMPARABLE_LETTERS
    return is_word or _ERROR_MESSAGE.match(text) is not None


def is_placeholder(text: str, source_text: str) -> bool:
    """Whether an answer is an empty value like `null`, or a placeholder for a text that isn't translated."""
    plain = text.strip().casefold()
    if plain == source_text.strip().casefold():
        return False
    if plain in _EMPTY_VALUES and _count_letters(source_text) > len(plain):
        return True
    if _MISSING_TRANSLATION.match(text) and not _TRANSLATION_WORD.search(source_text):
        return True
    if (match := _TODO.match(text)) and match[0].strip().casefold() not in source_text.casefold():
        return _count_letters(source_text) > len(match[0])
    match = _BRACKETED.match(text.strip())
    if match is None or source_text.strip()[:1] in _OPENING_BRACKETS or _is_comparable(match[1], source_text):
        return False
    # Asterisks may mark emphasis as well.
    return text.strip()[0] != "*" or _count_letters(source_text) >= _MIN_COMPARABLE_LETTERS


def strip_brackets(text: str, source_text: str) -> str:
    """Remove the brackets around an answer if it is long enough to be the translation."""
    match = _BRACKETED.match(text)
    if match and source_text.strip()[:1] not in _OPENING_BRACKETS and _is_comparable(match[1], source_text):
        return match[1].strip()
    return text


def _is_comparable(text: str, source_text: str) -> bool:
    return _count_letters(source_text) >= _MIN_COMPARABLE_LETTERS and 2 * _count_letters(text) >= _count_letters(
        source_text
    )


def _count_letters(text: str) -> int:
    # One Chinese or Korean character carries as much information as several letters.
    return sum(3 if "\u2e80" <= letter <= "\ud7af" else 1 for letter in text if unicodedata.category(letter)[0] in "LM")
