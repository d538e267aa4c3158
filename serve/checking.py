"""What of an utterance a translation may not have kept: terms that were asked for, numbers, names, emoji."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from operators.occurrence import places
from serve.engines.engine import Utterance
from serve.engines.sanitizer import REPLACEMENT
from serve.names import missing_names, without_addresses
from serve.numbers import missing_numbers
from serve.rare_characters import has_new_dashes, missing_emoji, missing_foreign_words
from serve.terms import has_term


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that was said and isn't in the translation.

    Attributes:
        said: as it was said.
        wanted: as it should read; None where that can't be told.
    """

    kind: Literal["term", "number", "name", "emoji", "character"]
    said: str
    wanted: str | None

    def __str__(self) -> str:
        said = f"{self.said} → {self.wanted}" if self.kind == "term" else self.said
        return f"{self.kind}: {' '.join(said.split())}"


def doubts(utterance: Utterance, text: str) -> tuple[Doubt, ...]:
    """What a translation leaves in doubt: what it lacks, and whether a character of it was no text.

    A term that stays as it is counts as a term, not as a name; a number or a name within a term is the term's.

    Args:
        utterance: what was asked.
        text: the translation.
    """
    lost = [term for term in utterance.terms if not has_term(text, term.target, utterance.target)]
    said = _without(utterance.text, [term.source for term in utterance.terms])
    speakers = [one.speaker for one in utterance.context]
    names = missing_names(said, text, utterance.source, utterance.target, speakers)
    foreign = missing_foreign_words(without_addresses(said), text, utterance.source, utterance.target)
    numbers = missing_numbers(without_addresses(said), text, utterance.source, utterance.target)
    return (
        *(Doubt("term", term.source, term.target) for term in lost),
        *(Doubt("number", number, number) for number in numbers),
        *(Doubt("name", name, name) for name in names),
        # A name may well be written in the translation's own script, so nobody is asked for it.
        *(Doubt("name", word, None) for word in foreign if word not in names),
        *(Doubt("emoji", emoji, emoji) for emoji in missing_emoji(said, text)),
        *([Doubt("character", "one that could not be read", None)] if _is_damaged(utterance, text) else []),
    )


def _is_damaged(utterance: Utterance, text: str) -> bool:
    return (REPLACEMENT in text and REPLACEMENT not in utterance.text) or has_new_dashes(utterance.text, text)


def _without(text: str, parts: Iterable[str]) -> str:
    for part in parts:
        for start, end in places(text, part):
            text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text
