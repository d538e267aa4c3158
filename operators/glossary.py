"""A meeting's glossary in one language: the terms for every prompt, and the terms that a text contains."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick

from operators.meeting_config import Term
from operators.term_matching import fold_with_offsets, is_whole_word
from operators.translation_requests import GlossaryEntry

MAX_PROMPT_TERMS = 100
"""Maximum number of terms for every prompt. With a larger glossary, a prompt has only the terms that its text contains."""


class _TermMatcher(NamedTuple):
    """The glossary's terms of one case sensitivity, and an automaton that finds all of them in one pass."""

    entries: tuple[GlossaryEntry, ...]
    whole_words: tuple[bool, ...]
    automaton: AhoCorasick
    case_sensitive: bool


class _CompiledGlossary(NamedTuple):
    prompt_terms: tuple[GlossaryEntry, ...]
    matchers: tuple[_TermMatcher, ...]


def prompt_terms(glossary: tuple[Term, ...], language: str) -> tuple[GlossaryEntry, ...]:
    """Return a meeting's terms in a language, sorted, so that their order in the glossary doesn't matter.

    Args:
        glossary: the meeting's glossary.
        language: the target language.

    Returns:
        The terms; empty if there are more than `MAX_PROMPT_TERMS`.
    """
    return _compile_glossary(glossary, language).prompt_terms if glossary else ()


def match_terms(glossary: tuple[Term, ...], text: str, language: str) -> tuple[GlossaryEntry, ...]:
    """Return the terms that a text contains, each once, in the order of the text. Of overlapping terms the longest wins.

    Args:
        glossary: the meeting's glossary.
        text: the text to search.
        language: the target language.
    """
    return term_matcher(glossary, language)(text) if glossary else ()


def term_matcher(glossary: tuple[Term, ...], language: str) -> Callable[[str], tuple[GlossaryEntry, ...]]:
    """Return a function that finds the terms in a text, as `match_terms` does. For many texts it is faster."""
    return partial(_match, _compile_glossary(glossary, language).matchers)


def _match(matchers: tuple[_TermMatcher, ...], text: str) -> tuple[GlossaryEntry, ...]:
    matches: list[tuple[int, int, bool, GlossaryEntry]] = []
    for entries, whole_words, automaton, case_sensitive in matchers:
        folded_text = fold_with_offsets(text, keep_case=case_sensitive)
        for index, start, end in automaton.find_matches_as_indexes(folded_text.text, overlapping=True):
            span = folded_text.source_span(start, end)
            if span is not None and (is_whole_word(text, *span) or not whole_words[index]):
                matches.append((span[0], span[1], not case_sensitive, entries[index]))
    # Of two terms of the same length the first one wins; of two at the same place, the case-sensitive one.
    matches.sort(key=lambda place: (place[0] - place[1], place[0], place[2]))
    longest_matches: list[tuple[int, int, GlossaryEntry]] = []
    for start, end, _, entry in matches:
        if all(end <= other_start or other_end <= start for other_start, other_end, _ in longest_matches):
            longest_matches.append((start, end, entry))
    return tuple(dict.fromkeys(entry for _, _, entry in sorted(longest_matches)))


@lru_cache(maxsize=256)
def _compile_glossary(glossary: tuple[Term, ...], language: str) -> _CompiledGlossary:
    """Compile a glossary for a language. Cached, because a meeting's sentences share the result."""
    translated_terms = [(term, target) for term in glossary if (target := target_text(term, language)) is not None]
    entries = sorted(GlossaryEntry(term.term, target) for term, target in translated_terms)
    matchers: list[_TermMatcher] = []
    for case_sensitive in (False, True):
        terms_of_case = [(term, target) for term, target in translated_terms if term.case_sensitive == case_sensitive]
        if terms_of_case:
            automaton = AhoCorasick(
                [fold_with_offsets(term.term.strip(), keep_case=case_sensitive).text for term, _ in terms_of_case]
            )
            matchers.append(
                _TermMatcher(
                    tuple(GlossaryEntry(term.term, target) for term, target in terms_of_case),
                    tuple(term.whole_word for term, _ in terms_of_case),
                    automaton,
                    case_sensitive,
                )
            )
    return _CompiledGlossary(tuple(entries) if len(entries) <= MAX_PROMPT_TERMS else (), tuple(matchers))


def target_text(term: Term, language: str) -> str | None:
    """Return a term's translation in a language or its base language; the term itself if it must be kept; else None."""
    subtags = language.split("-")
    for count in range(len(subtags), 0, -1):
        if (target := term.translations.get("-".join(subtags[:count]))) is not None:
            return target
    return term.term if term.do_not_translate else None
