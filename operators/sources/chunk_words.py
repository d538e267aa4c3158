"""The comparable words of chunks, and the pieces of a chunk that consist of some of its words.

Words are compared without case and punctuation. Times of words are in proportion to their number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from operators.entries import Chunk
from operators.fields import MAX_NAME_CHARS

_NON_WORD_CHARACTERS = re.compile(r"[\W_]+")


class ComparableWord(NamedTuple):
    """A comparable word. `owner` is the number of its chunk, `part` the number of its part there (`split_parts`)."""

    owner: int
    part: int
    text: str


def comparable_texts(text: str) -> list[str]:
    """Return a text's words for comparison, without case and punctuation."""
    return [word for word in map(_comparable, text.split()) if word]


def split_parts(text: str) -> list[str]:
    """Split a text at white space. Parts without a letter or digit, such as a dash, belong to a neighbour."""
    parts: list[str] = []
    for part in text.split():
        if parts and not (_comparable(part) and _comparable(parts[-1])):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


def comparable_words(chunks: Iterable[Chunk]) -> Iterator[ComparableWord]:
    """Yield each comparable word, with the numbers of its chunk and of its part there."""
    for number, chunk in enumerate(chunks):
        for index, part in enumerate(split_parts(chunk.text)):
            if word := _comparable(part):
                yield ComparableWord(number, index, word)


def middle_time(chunk: Chunk, index: int) -> float:
    """Return the time of the middle of a chunk's part, in proportion to the parts."""
    return chunk.start + (chunk.end - chunk.start) * (index + 0.5) / len(split_parts(chunk.text))


def retract_chunk(chunk: Chunk) -> Chunk:
    """Return the revision that removes a chunk."""
    return chunk.model_copy(update={"text": "", "is_final": True})


def remove_parts(chunk: Chunk, indexes: Set[int]) -> Iterator[Chunk]:
    """Yield a chunk without some of its parts: a retraction, or what is left in the chunk and in new ones after it."""
    left = [index for index in range(len(split_parts(chunk.text))) if index not in indexes]
    if not left:
        yield retract_chunk(chunk)
        return
    first, *others = cut_pieces(chunk, left)
    yield first.model_copy(update={"chunk_id": chunk.chunk_id})
    yield from others


def cut_pieces(sentence: Chunk, indexes: Sequence[int]) -> Iterator[Chunk]:
    """Yield the pieces of a sentence that consist of some of its parts. Times are in proportion to the parts."""
    parts = split_parts(sentence.text)
    length = sentence.end - sentence.start
    for first, last in _runs(indexes):
        if (first, last) == (0, len(parts)):
            yield sentence
            continue
        yield sentence.model_copy(
            update={
                "chunk_id": f"{sentence.chunk_id[: MAX_NAME_CHARS - 8]} {first}",
                "text": " ".join(parts[first:last]),
                "start": round(sentence.start + length * first / len(parts), 3),
                "end": round(sentence.start + length * last / len(parts), 3),
            }
        )


def _comparable(part: str) -> str:
    """Return a word without case and punctuation, for comparison."""
    return _NON_WORD_CHARACTERS.sub("", part.casefold())


def _runs(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first index and the index after the last one of each run of successive indexes."""
    first = previous = indexes[0]
    for index in indexes[1:]:
        if index != previous + 1:
            yield first, previous + 1
            first = index
        previous = index
    yield first, previous + 1
