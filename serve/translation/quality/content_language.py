"""Detects the language of a translation by its words that are no terms, numbers or names."""

from __future__ import annotations

import re

from serve.engines.protocol import Utterance
from serve.text.languages import COMMON_MEETING_LANGUAGES, MIN_LETTERS_CERTAIN, confusable_group, shared_detector

_MIN_WORD_LETTERS = 5
"""Letters of a word in capitals that is hardly an acronym."""
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_FIGURE_WITH_UNIT = re.compile(r"\w*\d[\w.,:/%°-]*(?:\s?[^\W\d_]{1,3}\b)?")
"""A number with its unit."""
_PRONOUN_I = re.compile(r"I\b")
_SENTENCE_ENDS = (".", "!", "?", "…", ":")


def content_words(text: str, request: Utterance) -> list[str]:
    """Return the words of a text that need a translation: without terms, numbers and names.

    A word with a capital within a sentence counts as a name, unless the whole text is in capitals.
    """
    plain = text.casefold()
    for term in (*request.glossary, *request.terms):
        # A glossary may have hundreds of terms, but a text seldom contains more than a few.
        for term_text in (each for each in (term.source, term.target) if each.strip() and each.casefold() in plain):
            text = re.sub(rf"(?<!\w){re.escape(term_text)}(?!\w)", " ", text, flags=re.IGNORECASE)
    if text.isupper() and any(len(word) >= _MIN_WORD_LETTERS for word in _WORD.findall(text)):
        text = text.lower()
    words: list[str] = []
    starts_sentence = True
    for token in _FIGURE_WITH_UNIT.sub(" ", text).split():
        token_words = _WORD.findall(token)
        if starts_sentence or token.lower() == token or _PRONOUN_I.match(token):
            words += [word.casefold() for word in token_words]
        starts_sentence = token.endswith(_SENTENCE_ENDS)
    return words


def detect_other_language(text: str, request: Utterance, min_letters: int = MIN_LETTERS_CERTAIN) -> str | None:
    """Return the language of a translation if it is certainly not the target language; else None.

    Names and words taken over from the source text don't count.

    Args:
        text: the translation.
        request: the engine's request.
        min_letters: letters of a text in Latin letters from which its language is certain. Its content words need half of them.

    Returns:
        The language, named as by `confusable_group`.
    """
    detector, target_group, words = shared_detector(), confusable_group(request.target), content_words(text, request)
    detected = detector.detect_certain(text, min_letters)
    # The detector takes rare languages for related ones.
    if target_group not in COMMON_MEETING_LANGUAGES and detected != confusable_group(request.source):
        return None
    if detected in (None, target_group) or detected != detector.detect_certain(" ".join(words), min_letters // 2):
        return None
    source_words = set(content_words(request.text, request))
    scores = detector.scores(" ".join(word for word in words if word not in source_words))
    return detected if scores[detected] > scores[target_group] else None
