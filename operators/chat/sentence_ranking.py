"""Selects the sentences that are likely to answer a question, if a transcript is too long for a model's window.

Windows of three sentences are ranked by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
2009). The rest of the room goes to the newest sentences.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from operators.sentences.boundaries import UNSPACED_SCRIPTS
from operators.stream import Sentence

WINDOW_SENTENCES = 3
"""Number of sentences that are ranked together: an answer often stands beside the words of the question."""
RANKED_SHARE = 0.6
"""Part of the room for the best windows, from 0 to 1."""
_K1, _B = 1.2, 0.75
"""BM25's usual constants: how fast a repeated word counts less, and how much a long window counts less."""
_ACCENTS = re.compile("[\u0300-\u036f]")
_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]+")


def index_terms(text: str) -> list[str]:
    """Return the terms of a text: words without case and accents, and pairs of characters in scripts without spaces."""
    return search_words(_ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))


def search_words(text: str) -> list[str]:
    """Return what a search looks for as it is written: words, and pairs of characters in scripts without spaces."""
    composed = unicodedata.normalize("NFC", text.lower())
    words: list[str] = []
    # Marks, such as the vowel signs of Indic scripts, belong to their word.
    for word in "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in composed).split():
        for run in _UNSPACED.findall(word):
            words += [run[i : i + 2] for i in range(max(1, len(run) - 1))]
        words += [part for part in _UNSPACED.split(word) if part]
    return words


def rank_windows(sentences: Sequence[Sentence], question: str) -> list[int]:
    """Return the windows that have a term of the question, the best first, by the index of their first sentence.

    Args:
        sentences: the sentences in reading order.
        question: the question, in the sentences' language.
    """
    wanted = set(index_terms(question))
    terms = [index_terms(f"{sentence.speaker} {sentence.text}") for sentence in sentences]
    starts = range(max(1, len(sentences) - WINDOW_SENTENCES + 1)) if sentences else range(0)
    counts: list[Counter[str]] = []
    lengths: list[int] = []
    for start in starts:
        window = [term for each in terms[start : start + WINDOW_SENTENCES] for term in each]
        lengths.append(len(window))
        counts.append(Counter(term for term in window if term in wanted))
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    found = Counter(term for count in counts for term in count)
    weights = {term: math.log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for term, n in found.items()}
    scores = {
        start: sum(
            weights[term] * n * (_K1 + 1) / (n + _K1 * (1 - _B + _B * length / mean)) for term, n in count.items()
        )
        for start, count, length in zip(starts, counts, lengths, strict=True)
        if count
    }
    return sorted(scores, key=lambda start: (-scores[start], -start))


def select_sentences(
    sentences: Sequence[Sentence], question: str, sizes: Sequence[int], max_size: int
) -> list[Sentence]:
    """Select the sentences to answer a question from: all if they fit, else the best windows and the newest ones.

    Args:
        sentences: the sentences in reading order.
        question: the question.
        sizes: what each sentence takes of the room, in tokens.
        max_size: the room, in tokens.

    Returns:
        The selected sentences, in reading order.
    """
    if sum(sizes) <= max_size:
        return list(sentences)
    selected: set[int] = set()
    used = 0

    def add(indexes: Iterable[int], limit: float) -> None:
        nonlocal used
        new = set(indexes) - selected
        size = sum(sizes[index] for index in new)
        # One that does not fit must not keep out the shorter ones after it.
        if used + size <= limit:
            selected.update(new)
            used += size

    for start in rank_windows(sentences, question):
        add(range(start, min(start + WINDOW_SENTENCES, len(sentences))), max_size * RANKED_SHARE)
    for index in reversed(range(len(sentences))):
        add([index], max_size)
    return [sentences[index] for index in sorted(selected)]
