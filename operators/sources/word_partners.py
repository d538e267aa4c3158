"""Partners of a transcript's words among the words of chunks: equal words, and words that were heard otherwise.

Equal words are found by a longest common subsequence (difflib). Between equal words, times decide: a word's place tells nothing
where words are missing as well.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from operators.entries import Chunk
from operators.sources.chunk_words import ComparableWord, comparable_words, middle_time


def find_partners(known: Sequence[Chunk], sentences: Sequence[Chunk], *, in_order: bool) -> list[int | None]:
    """Find the partner of each comparable word of the sentences.

    Args:
        known: chunks, in order of their start.
        sentences: the transcript's sentences at the time of the chunks.
        in_order: whether the chunks and sentences have their words in the same order. Speech that overlaps may have another.

    Returns:
        For each word the number of the chunk that has its partner; `None` if no chunk has the word.
    """
    there, words = list(comparable_words(known)), list(comparable_words(sentences))
    texts = [word.text for word in there], [word.text for word in words]
    operations = SequenceMatcher(None, *texts, autojunk=False).get_opcodes()
    partners: dict[int, int] = {}
    for operation, i, i_end, j, j_end in operations:
        if operation == "equal":
            partners.update(zip(range(j, j_end), range(i, i_end), strict=True))
    if not in_order:
        partners |= _pair_equal(there, words, partners)
    taken = set(partners.values())
    for operation, i, i_end, j, j_end in operations:
        if operation == "replace":
            said = {place: _time(sentences, words[place]) for place in range(j, j_end) if place not in partners}
            heard = {place: _time(known, there[place]) for place in range(i, i_end) if place not in taken}
            partners.update(_pair_by_time(list(said.items()), list(heard.items())))
    return [there[partners[place]].owner if place in partners else None for place in range(len(words))]


def _time(chunks: Sequence[Chunk], word: ComparableWord) -> float:
    return middle_time(chunks[word.owner], word.part)


def _pair_equal(
    there: Sequence[ComparableWord], words: Sequence[ComparableWord], partners: dict[int, int]
) -> dict[int, int]:
    """Pair the words without a partner with equal words without a partner, in any order."""
    taken = set(partners.values())
    free: defaultdict[str, deque[int]] = defaultdict(deque)
    for place, word in enumerate(there):
        if place not in taken:
            free[word.text].append(place)
    left = [place for place in range(len(words)) if place not in partners]
    return {place: free[words[place].text].popleft() for place in left if free[words[place].text]}


def _pair_by_time(a: Sequence[tuple[int, float]], b: Sequence[tuple[int, float]]) -> Iterator[tuple[int, int]]:
    """Yield pairs of a place of `a` and one of `b`, in order: each of the shorter sequence with one at about its time."""
    if len(a) > len(b):
        yield from ((place, partner) for partner, place in _pair_by_time(b, a))
        return
    first = 0
    for i, (place, time) in enumerate(a):
        # Those that follow need a partner as well.
        candidates = range(first, len(b) - len(a) + i + 1)
        nearest = min(candidates, key=lambda j: abs(b[j][1] - time))
        yield place, b[nearest][0]
        first = nearest + 1
