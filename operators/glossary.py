"""A meeting's glossary in one language: what is told of it with every sentence, and which of its terms are said in a text."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick

from operators.model import Term
from operators.occurrence import folded, whole
from operators.translation import Wanted

TOLD = 100
"""Terms that are told with every sentence; where a glossary has more, those that are said go along alone."""


class _Terms(NamedTuple):
    """Terms that are looked for together, as they are compared, and what finds them; `case` says whether case counts."""

    wanted: tuple[Wanted, ...]
    search: AhoCorasick
    case: bool


class _Lexicon(NamedTuple):
    told: tuple[Wanted, ...]
    terms: tuple[_Terms, ...]


def told(glossary: tuple[Term, ...], language: str) -> tuple[Wanted, ...]:
    """A meeting's terms in a language: sorted, so that they are the same whatever the order they were given in.

    Returns:
        None of them where there are too many to be told each time.
    """
    return _lexicon(glossary, language).told if glossary else ()


def found(glossary: tuple[Term, ...], text: str, language: str) -> tuple[Wanted, ...]:
    """The terms that are said in a text, each once, in the order of the text. Of those that overlap the longest counts.

    Args:
        language: that it is to be translated into.
    """
    if not glossary:
        return ()
    places: list[tuple[int, int, bool, Wanted]] = []
    for wanted, search, case in _lexicon(glossary, language).terms:
        searched = folded(text, case=case)
        for which, start, end in search.find_matches_as_indexes(searched.text, overlapping=True):
            span = searched.span(start, end)
            if span is not None and whole(text, *span):
                places.append((span[0], span[1], not case, wanted[which]))
    # Of two that are as long the first counts, and of two in one place the one that is meant as it is written.
    places.sort(key=lambda place: (place[0] - place[1], place[0], place[2]))
    taken: list[tuple[int, int, Wanted]] = []
    for start, end, _, wanted in places:
        if all(end <= other_start or other_end <= start for other_start, other_end, _ in taken):
            taken.append((start, end, wanted))
    return tuple(dict.fromkeys(wanted for _, _, wanted in sorted(taken)))


@lru_cache(maxsize=256)
def _lexicon(glossary: tuple[Term, ...], language: str) -> _Lexicon:
    """Kept: it is the same for every sentence of a meeting in a language."""
    named = [(term, target) for term in glossary if (target := _target(term, language)) is not None]
    wanted = sorted(Wanted(term.term, target) for term, target in named)
    terms: list[_Terms] = []
    for case in (False, True):
        here = [(term, target) for term, target in named if term.case_sensitive == case]
        if here:
            search = AhoCorasick([folded(term.term.strip(), case=case).text for term, _ in here])
            terms.append(_Terms(tuple(Wanted(term.term, target) for term, target in here), search, case))
    return _Lexicon(tuple(wanted) if len(wanted) <= TOLD else (), tuple(terms))


def _target(term: Term, language: str) -> str | None:
    """How a term is wanted in a language: as given for it or for what it is a variety of, else as it stands if it is kept."""
    subtags = language.split("-")
    for count in range(len(subtags), 0, -1):
        if (target := term.translations.get("-".join(subtags[:count]))) is not None:
            return target
    return term.term if term.do_not_translate else None
