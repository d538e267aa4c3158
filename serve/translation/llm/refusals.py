"""Detects when a language model refuses to translate, as opposed to translating a refusal.

A right translation that is taken for a refusal is lost for good. So only phrases count that hardly anybody but a model uses,
and only if the source text mentions nothing similar. The words by language are in `data/refusals.toml`. The source text's
language must have an entry there.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from operators.word_lists import Slot, phrase_pattern, read_word_lists, word_pattern
from serve.text.languages import LANGUAGES_WITHOUT_SPACES, base_language

_LISTS = read_word_lists("serve.translation.llm", "refusals")
_OPENING_CHARS = 60
"""Characters from the start within which a refusal names its topic, after an apology at most."""


def _phrases_pattern(phrases: dict[str, list[list[Slot]]]) -> re.Pattern[str]:
    """Return a pattern that finds the phrases of all languages."""
    patterns = (
        phrase_pattern(slots, has_spaces=language not in LANGUAGES_WITHOUT_SPACES)
        for language, each in phrases.items()
        for slots in each
    )
    return re.compile("|".join(patterns), re.IGNORECASE)


_INABILITY = _phrases_pattern(_LISTS["inabilities"])
"""Refusals to help with *that* or to translate *this*. A statement of any other inability is normal speech."""
_SELF_REFERENCE = _phrases_pattern(_LISTS["self_references"])
"""A model's references to itself. Companies and expressions such as `Como ia dizendo` don't match."""
_TEXT_REQUEST = _phrases_pattern(_LISTS["text_requests"])
_REJECTION = _phrases_pattern(_LISTS["rejections"])
"""Refusals of any request, and messages of a content filter."""
_OFFER = _phrases_pattern(_LISTS["offers"])
"""An assistant's offers of help before there is any task."""


class _TopicPatterns(NamedTuple):
    """Patterns for the topics of refusals in a language: help and translation, models, texts, and requests that are rejected."""

    assistance: re.Pattern[str]
    models: re.Pattern[str]
    texts: re.Pattern[str]
    rejections: re.Pattern[str]


@cache
def _topics(language: str) -> _TopicPatterns | None:
    """Return the patterns for the topics of refusals; None for a language without word lists."""
    topics: dict[str, dict[str, list[str]]] = _LISTS["topics"]
    if language not in topics["assistance"]:
        return None
    return _TopicPatterns(
        **{name: re.compile(word_pattern(words[language]), re.IGNORECASE) for name, words in topics.items()}
    )


def is_refusal(answer: str, source_text: str, source: str) -> bool:
    """Whether an answer is the model's refusal and no translation.

    Args:
        answer: the answer.
        source_text: the source text.
        source: its language tag.

    >>> is_refusal("I'm sorry, but I can't assist with that.", "Precisamos de mais tempo.", "pt")
    True
    >>> is_refusal("I'm sorry, but I can't assist with that.", "Desculpe, mas não posso ajudar com isso.", "pt")
    False
    >>> is_refusal("I'm afraid I can't attend today.", "恐怕我今天不能参加。", "zh")
    False
    """
    topics = _topics(base_language(source))
    if topics is None:
        return False
    plain = answer.replace("’", "'")
    inability = _INABILITY.search(plain)
    signs = [
        (inability is not None and inability.start() <= _OPENING_CHARS, [topics.assistance]),
        (_SELF_REFERENCE.search(plain) is not None, [topics.models]),
        (_TEXT_REQUEST.search(plain) is not None, [topics.texts]),
        (_REJECTION.search(plain) is not None, [topics.rejections, topics.assistance]),
        (_OFFER.search(plain) is not None, [topics.assistance]),
    ]
    plain_source = source_text.replace("’", "'")
    return any(is_present and not any(topic.search(plain_source) for topic in each) for is_present, each in signs)
