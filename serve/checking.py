"""What of an utterance a translation may not have kept: terms that were asked for, numbers, names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from operators.occurrence import places
from serve.engines.engine import Utterance
from serve.names import missing_names, without_addresses
from serve.numbers import missing_numbers
from serve.terms import has_term


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that was said and isn't in the translation.

    Attributes:
        said: as it was said.
        wanted: as it should read.
    """

    kind: Literal["term", "number", "name"]
    said: str
    wanted: str

    def __str__(self) -> str:
        said = f"{self.said} → {self.wanted}" if self.kind == "term" else self.said
        return f"{self.kind}: {' '.join(said.split())}"


def doubts(utterance: Utterance, text: str) -> tuple[Doubt, ...]:
    """What a translation leaves in doubt.

    A term that stays as it is counts as a term, not as a name; a number or a name within a term is the term's.

    Args:
        utterance: what was asked.
        text: the translation.
    """
    lost = [term for term in utterance.terms if not has_term(text, term.target, utterance.target)]
    said = _without(utterance.text, [term.source for term in utterance.terms])
    speakers = [one.speaker for one in utterance.context]
    names = missing_names(said, text, utterance.source, utterance.target, speakers)
    numbers = missing_numbers(without_addresses(said), text, utterance.source, utterance.target)
    return (
        *(Doubt("term", term.source, term.target) for term in lost),
        *(Doubt("number", number, number) for number in numbers),
        *(Doubt("name", name, name) for name in names),
    )


def _without(text: str, parts: Iterable[str]) -> str:
    for part in parts:
        for start, end in places(text, part):
            text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text
