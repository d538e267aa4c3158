"""The terms of a team's glossaries, and which of them apply to a meeting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from operators.characters import require_storable
from operators.glossary import match_terms
from operators.meeting_config import MAX_GLOSSARY_CHARS, MAX_GLOSSARY_TERMS, Term

MAX_NOTE_CHARS = 500
"""Maximum length of a term's remark, in characters."""


class GlossaryTerm(Term):
    """A term of a team's glossary.

    `notes` is a remark for people. If a meeting has too many terms, those with a higher `priority` are kept.
    """

    notes: Annotated[str, Field(max_length=MAX_NOTE_CHARS), AfterValidator(require_storable)] = ""
    priority: int = Field(default=0, ge=-1000, le=1000)

    __hash__ = Term.__hash__

    def to_term(self) -> Term:
        """Return the part that a meeting's config has."""
        return Term(**self.model_dump(include=set(Term.model_fields)))


@dataclass(frozen=True, slots=True)
class TermHits:
    """How often a term was said in a meeting, and how often its translation has it.

    Attributes:
        term: the term.
        said: number of captions whose sentence has the term.
        hits: number of those whose translation has the term's translation.
    """

    term: str
    said: int
    hits: int


def select_terms(own: Sequence[Term], attached: Iterable[Sequence[GlossaryTerm]]) -> tuple[Term, ...]:
    """Select the terms of attached glossaries that apply to a meeting.

    A term that the meeting or an earlier glossary has is left out. If there are too many, those with the lowest priority are
    left out.

    Args:
        own: the meeting's own terms.
        attached: the terms of each glossary, in the order of precedence.
    """
    known = {term.dedupe_key() for term in own}
    found: list[GlossaryTerm] = []
    for glossary in attached:
        for term in glossary:
            if term.dedupe_key() not in known:
                known.add(term.dedupe_key())
                found.append(term)
    selected: list[Term] = []
    size = 0
    for term in sorted(found, key=lambda term: -term.priority):
        size += len(term.term) + sum(map(len, term.translations.values()))
        if len(selected) == MAX_GLOSSARY_TERMS or size > MAX_GLOSSARY_CHARS:
            break
        selected.append(term.to_term())
    return tuple(selected)


def look_up(terms: tuple[Term, ...], text: str, language: str) -> tuple[Term, ...]:
    """Return the terms that a text contains and that have a translation in a language, in the order of the text."""
    by_name: dict[str, Term] = {}
    for term in terms:
        by_name.setdefault(term.term, term)
    return tuple(by_name[entry.source] for entry in match_terms(terms, text, language))
