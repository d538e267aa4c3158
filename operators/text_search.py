"""The terms of a search in transcripts, and their places in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from operators.errors import InvalidInputError

MAX_TERMS = 10
"""Maximum number of terms of a search."""
_TERM = re.compile(r'"([^"]*)"|“([^”]*)”|(\S+)')


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of a text: a match of a term, or what is between two matches."""

    text: str
    is_match: bool


def parse_terms(query: str) -> tuple[str, ...]:
    """Return the terms of a search: its words, and what stands in double quotes as one term.

    Args:
        query: what the user searches for.

    Raises:
        InvalidInputError: there is no term, or there are too many.

    >>> parse_terms('budget "second quarter"')
    ('budget', 'second quarter')
    """
    found = [" ".join("".join(groups).split()) for groups in _TERM.findall(unicodedata.normalize("NFC", query))]
    terms = tuple(dict.fromkeys(term for term in found if term))
    if not terms:
        raise InvalidInputError("q", "must have a word to search for")
    if len(terms) > MAX_TERMS:
        raise InvalidInputError("q", f"must have no more than {MAX_TERMS} words; put a phrase in double quotes")
    return terms


def split_at_matches(text: str, terms: Sequence[str]) -> tuple[TextPart, ...]:
    """Split a text into the matches of terms, whatever their case, and the parts between them. The parts joined are the text.

    >>> [part.text for part in split_at_matches("We ship on Friday.", ["SHIP"]) if part.is_match]
    ['ship']
    """
    # Longer terms first, so that a term never hides another one that contains it.
    pattern = re.compile("|".join(map(re.escape, sorted(terms, key=len, reverse=True))), re.IGNORECASE)
    parts: list[TextPart] = []
    end = 0
    for match in pattern.finditer(text):
        if match.start() > end:
            parts.append(TextPart(text[end : match.start()], is_match=False))
        parts.append(TextPart(match[0], is_match=True))
        end = match.end()
    if end < len(text):
        parts.append(TextPart(text[end:], is_match=False))
    return tuple(parts)
