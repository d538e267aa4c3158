"""Quality checks of a translation: terms, numbers, names and emoji of the source that it may lack, and its language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import langcodes

from operators.term_matching import find_term
from serve.engines.protocol import Utterance
from serve.engines.sanitizer import REPLACEMENT_CHARACTER
from serve.text.languages import confusable_group
from serve.translation.quality.content_language import detect_other_language
from serve.translation.quality.named_entities import blank_addresses, missing_names
from serve.translation.quality.numbers import missing_numbers
from serve.translation.quality.rare_characters import has_new_dashes, missing_emoji, missing_foreign_words
from serve.translation.quality.term_forms import has_term

_MIN_LETTERS = 16
"""Letters of a translation from which its language is clear enough for a warning."""


@dataclass(frozen=True, slots=True)
class QualityWarning:
    """A part of the source text that the translation lacks.

    Attributes:
        kind: the kind of the missing part.
        source: its text in the source.
        expected: its expected text in the translation; None if that is unknown.
    """

    kind: Literal["term", "number", "name", "emoji", "character", "language"]
    source: str
    expected: str | None

    def __str__(self) -> str:
        text = f"{self.source} → {self.expected}" if self.kind == "term" else self.source
        return f"{self.kind}: {' '.join(text.split())}"


def find_quality_warnings(utterance: Utterance, translation: str) -> tuple[QualityWarning, ...]:
    """Return the warnings about a translation: missing parts of the source, damaged characters, and another language.

    An untranslated term counts as a term only, not as a name as well. A number or name within a term is part of the term.

    Args:
        utterance: the engine's request.
        translation: the engine's translation.
    """
    missing_terms = [term for term in utterance.terms if not has_term(translation, term.target, utterance.target)]
    source_text = _blank_out(utterance.text, [term.source for term in utterance.terms])
    speakers = [sentence.speaker for sentence in utterance.context]
    names = missing_names(source_text, translation, utterance.source, utterance.target, speakers)
    foreign_words = missing_foreign_words(blank_addresses(source_text), translation, utterance.source, utterance.target)
    numbers = missing_numbers(blank_addresses(source_text), translation, utterance.source, utterance.target)
    return (
        *(QualityWarning("term", term.source, term.target) for term in missing_terms),
        *(QualityWarning("number", number, number) for number in numbers),
        *(QualityWarning("name", name, name) for name in names),
        # The translation may transcribe the name in its own script. So no repair is requested.
        *(QualityWarning("name", word, None) for word in foreign_words if word not in names),
        *(QualityWarning("emoji", emoji, emoji) for emoji in missing_emoji(source_text, translation)),
        *(
            [QualityWarning("character", "one that could not be read", None)]
            if _is_damaged(utterance, translation)
            else []
        ),
        *(
            [QualityWarning("language", _target_name(utterance), None)]
            if _is_other_language(utterance, translation)
            else []
        ),
    )


def _is_damaged(utterance: Utterance, translation: str) -> bool:
    return (REPLACEMENT_CHARACTER in translation and REPLACEMENT_CHARACTER not in utterance.text) or has_new_dashes(
        utterance.text, translation
    )


def _is_other_language(utterance: Utterance, translation: str) -> bool:
    if confusable_group(utterance.source) == confusable_group(utterance.target):
        return False
    return detect_other_language(translation, utterance, _MIN_LETTERS) is not None


def _target_name(utterance: Utterance) -> str:
    return langcodes.Language.get(utterance.target).display_name()


def _blank_out(text: str, parts: Iterable[str]) -> str:
    for part in parts:
        for start, end in find_term(text, part):
            text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text
