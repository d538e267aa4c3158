"""Counts how often a meeting's translations have the terms of a glossary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from operators.glossary import term_matcher
from operators.meeting_config import Term
from operators.stream import Sentence
from operators.team_glossary import TermHits
from operators.translation_requests import CaptionStatus, GlossaryEntry
from serve.translation.quality.term_forms import has_term
from storage.records import Caption


def count_hits(terms: Sequence[Term], sentences: Iterable[Sentence], captions: Iterable[Caption]) -> list[TermHits]:
    """Count the terms that were said and translated, those that were said most often first.

    Args:
        terms: the terms of a glossary.
        sentences: a meeting's sentences.
        captions: its captions.
    """
    texts = {sentence.id: sentence for sentence in sentences}
    glossary = tuple(terms)
    find: dict[str, Callable[[str], tuple[GlossaryEntry, ...]]] = {}
    said: dict[str, int] = {}
    hits: dict[str, int] = {}
    for caption in captions:
        sentence = texts.get(caption.sentence_id)
        if sentence is None or caption.status is not CaptionStatus.TRANSLATED or caption.revision != sentence.revision:
            continue
        if caption.language not in find:
            find[caption.language] = term_matcher(glossary, caption.language)
        for entry in find[caption.language](sentence.text):
            said[entry.source] = said.get(entry.source, 0) + 1
            hits[entry.source] = hits.get(entry.source, 0) + has_term(
                caption.text or "", entry.target, caption.language
            )
    return sorted(
        (TermHits(term, count, hits[term]) for term, count in said.items()), key=lambda each: (-each.said, each.term)
    )
