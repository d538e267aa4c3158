"""Selects the sentences that are likely to answer a question, if a transcript is too long for a model's window.

Windows of three sentences are ranked by their words, with BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework:
BM25 and Beyond", 2009), and by the distance of their vectors from the question's. Each is read with its neighbours. The rest of
the room goes to the newest sentences.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from operators.chat.sentence_windows import WINDOW_SENTENCES, window_starts
from operators.sentences.boundaries import UNSPACED_SCRIPTS
from operators.stream import Sentence

RANKED_SHARE = 0.6
"""Part of the room for the best windows, from 0 to 1."""
WORDS_TURN = 5
"""Every fifth window is one that the words found. Words find names and numbers; meaning finds all else, in any language."""
SENTENCE_WEIGHT = 0.25
"""How much the nearest sentence of a window counts beside the window as a whole."""
CONTEXT_SENTENCES = 1
"""Number of sentences before and after a window that are read with it."""
_K1, _B = 1.2, 0.75
"""BM25's usual constants: how fast a repeated word counts less, and how much a long window counts less."""
_ACCENTS = re.compile("[\u0300-\u036f]")
_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]+")


@dataclass(frozen=True, slots=True)
class WindowDistance:
    """How far a window and its first sentence are from a question, from 0 to 2; None if the window isn't complete."""

    window: float | None
    sentence: float


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
    starts = window_starts(len(sentences))
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


def rank_by_meaning(sentence_ids: Sequence[str], distances: Mapping[str, WindowDistance]) -> list[int]:
    """Return the windows that have a vector, the nearest to a question first, by the index of their first sentence.

    Args:
        sentence_ids: the ids of the sentences in reading order.
        distances: the distances of the question, by the id of a window's first sentence.
    """
    scores: dict[int, float] = {}
    for start, sentence_id in enumerate(sentence_ids):
        window = distances.get(sentence_id)
        if window is not None and window.window is not None:
            members = sentence_ids[start : start + WINDOW_SENTENCES]
            nearest = min(distances[member].sentence for member in members if member in distances)
            scores[start] = window.window + SENTENCE_WEIGHT * nearest
    return sorted(scores, key=lambda start: (scores[start], -start))


def combine_rankings(by_words: Sequence[int], by_meaning: Sequence[int]) -> list[int]:
    """Combine two rankings of windows to one of distinct passages, the best first.

    A window that overlaps the passage of a better one is left out: the first ones would be about the same place otherwise.

    Args:
        by_words: the indexes of windows, the best first.
        by_meaning: likewise; empty without embeddings.
    """
    selected: dict[int, None] = {}
    covered: set[int] = set()
    words, meaning = iter(by_words), iter(by_meaning)

    def take(ranking: Iterator[int]) -> bool:
        for start in ranking:
            if start not in covered:
                selected[start] = None
                covered.update(range(start - WINDOW_SENTENCES, start + WINDOW_SENTENCES + 1))
                return True
        return False

    while True:
        first, second = (words, meaning) if len(selected) % WORDS_TURN == WORDS_TURN - 1 else (meaning, words)
        if not take(first) and not take(second):
            return list(selected)


def select_sentences(sizes: Sequence[int], ranking: Sequence[int], max_size: int) -> list[int]:
    """Select the sentences to answer a question from: all if they fit, else the best windows and the newest ones.

    Args:
        sizes: what each sentence takes of the room, in tokens, in reading order.
        ranking: the windows for the question, the best first, by the index of their first sentence.
        max_size: the room, in tokens.

    Returns:
        The indexes of the selected sentences, in reading order.
    """
    if sum(sizes) <= max_size:
        return list(range(len(sizes)))
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

    for start in ranking:
        end = start + WINDOW_SENTENCES + CONTEXT_SENTENCES
        add(range(max(0, start - CONTEXT_SENTENCES), min(end, len(sizes))), max_size * RANKED_SHARE)
    for index in reversed(range(len(sizes))):
        add([index], max_size)
    return sorted(selected)
