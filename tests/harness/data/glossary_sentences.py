"""Typical meeting sentences with glossary terms, each with a translation that uses the terms and one that doesn't."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from operators.translation_requests import GlossaryEntry


@dataclass(frozen=True, slots=True)
class GlossarySentence:
    """A sentence in English with terms of a glossary.

    Attributes:
        target: the target language.
        source: the source text.
        terms: the terms in the source, with their translations.
        with_terms: a translation that uses these translations.
        without_terms: a translation that uses another word for each term.
    """

    target: str
    source: str
    terms: tuple[GlossaryEntry, ...]
    with_terms: str
    without_terms: str


def _read_sentences() -> tuple[GlossarySentence, ...]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            GlossarySentence(**row | {"terms": _parse_terms(row["terms"])}) for row in csv.DictReader(file, strict=True)
        )


def _parse_terms(written: str) -> tuple[GlossaryEntry, ...]:
    """Parse terms written as `budget=orçamento; order=encomenda`."""
    return tuple(sorted(GlossaryEntry(*entry.strip().split("=")) for entry in written.split(";")))


SENTENCES = _read_sentences()
