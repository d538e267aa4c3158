"""The segmenter: splits the text of a speaker's chunks into segments, one for each sentence.

It is a pure function of the chunks' text and speech time. Text is split at punctuation marks first. A run is the text between
two marks. A run of unpunctuated speech is split again, at pauses and at a maximum length. Speech is unpunctuated if
its speaker has ended no sentence with a mark yet. A run that is too long for one sentence is unpunctuated, too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from operators.sentences.boundaries import (
    MAX_MARK_WORDS,
    WORD_SIZE,
    WordSpans,
    is_attached_punctuation,
    is_opening_punctuation,
    is_pause,
    join_text,
    sentence_ends,
    split_words,
    splits_unspaced_text,
)
from operators.sentences.word_breaks import word_ends
from operators.stream import SentenceBoundary

PAUSE_S = 0.8
"""Minimum pause between two chunks, in seconds, that ends a segment of unpunctuated speech."""
MAX_SEGMENT_SIZE = 30 * WORD_SIZE
"""Maximum size of a segment of unpunctuated speech."""
SOFT_SEGMENT_SIZE = 20 * WORD_SIZE
"""Size from which a segment in a script without spaces ends at the next space or comma."""
MAX_UNPUNCTUATED_SIZE = 120 * WORD_SIZE
"""Maximum size of a run. A longer one is unpunctuated speech, even if its speaker uses punctuation."""


class ChunkState(NamedTuple):
    """A chunk in the state of the sentence operator.

    Attributes:
        ordinal: ordinal of its first entry.
        revised_at: arrival time of its last revision (ms).
        text: the text, with single spaces.
        start, end: seconds from the meeting's start.
        language: the language that the source reports, if any.
        stable_word_count: number of words in the common prefix of its last two revisions.
        is_closed: whether the chunk accepts no more revisions.
    """

    chunk_id: str
    ordinal: int
    revised_at: int
    text: str
    start: float
    end: float
    language: str | None = None
    stable_word_count: int = 0
    is_closed: bool = False


class SegmenterPosition(NamedTuple):
    """A boundary between two segments, with all that the segmentation after it needs from the text before it.

    Attributes:
        chunk_ordinal: the chunk in which the segment before the boundary ends; 0 if there is none.
        offset: characters of that chunk's text before the boundary.
        index_in_chunk: number of boundaries in that chunk, this one included.
        previous_words: the last two words before the boundary.
        unpunctuated_size: size of the run so far; 0 if a mark ended it.
        uses_punctuation: whether the speaker has ended a sentence with a mark.
    """

    chunk_ordinal: int = 0
    offset: int = 0
    index_in_chunk: int = 0
    previous_words: tuple[str, ...] = ()
    unpunctuated_size: int = 0
    uses_punctuation: bool = False


class Segment(NamedTuple):
    """The part of a speaker's speech that is one sentence.

    Attributes:
        chunk_ordinal: the chunk in which the segment begins.
        index_in_chunk: number of boundaries in that chunk before the segment.
        text, start, end, boundary, language: as in `Sentence`.
        end_chunk_ordinal: the chunk in which the segment ends.
        end_offset: characters of that chunk's text up to the segment's end.
        unpunctuated_size, uses_punctuation: as in `SegmenterPosition`, at the segment's end.
    """

    chunk_ordinal: int
    index_in_chunk: int
    text: str
    start: float
    end: float
    boundary: SentenceBoundary
    language: str | None
    end_chunk_ordinal: int
    end_offset: int
    unpunctuated_size: int
    uses_punctuation: bool

    @property
    def id(self) -> str:
        """The sentence's id, unique in its meeting."""
        return f"{self.chunk_ordinal}.{self.index_in_chunk}"

    @property
    def is_final(self) -> bool:
        """Whether later speech can't move the boundary at the segment's end, provided that the next word stays."""
        return self.unpunctuated_size == 0 or self.unpunctuated_size > MAX_UNPUNCTUATED_SIZE


def position_after(segment: Segment, chunks: Sequence[ChunkState], position: SegmenterPosition) -> SegmenterPosition:
    """Return the position at the end of a segment.

    Args:
        segment: a segment that `segment_speech(chunks, position)` returned.
        chunks: the speaker's chunks, as passed to `segment_speech`.
        position: the start position, as passed to `segment_speech`.
    """
    last = next(i for i, chunk in enumerate(chunks) if chunk.ordinal == segment.end_chunk_ordinal)
    previous_words: list[str] = []
    for i in range(last, -1, -1):
        text = chunks[i].text
        starts, stops, _ = split_words(text)
        stop = bisect_right(stops, segment.end_offset) if i == last else len(stops)
        first = _first_word(chunks, position) if i == 0 else 0
        lead = max(stop - 2 + len(previous_words), first)
        previous_words[:0] = [text[a:b] for a, b in zip(starts[lead:stop], stops[lead:stop], strict=True)]
        if len(previous_words) == 2:
            break
    previous_words = [*position.previous_words, *previous_words][-2:]
    index_in_chunk = segment.index_in_chunk + 1 if segment.chunk_ordinal == segment.end_chunk_ordinal else 1
    return SegmenterPosition(
        segment.end_chunk_ordinal,
        segment.end_offset,
        index_in_chunk,
        tuple(previous_words),
        segment.unpunctuated_size,
        segment.uses_punctuation,
    )


def _first_word(chunks: Sequence[ChunkState], position: SegmenterPosition) -> int:
    return (
        bisect_left(split_words(chunks[0].text).starts, position.offset)
        if chunks[0].ordinal == position.chunk_ordinal
        else 0
    )


def segment_speech(
    chunks: Sequence[ChunkState], position: SegmenterPosition, language: str | None = None
) -> Iterator[Segment]:
    """Split chunks into segments. The last segment is `OPEN` unless a mark ends it.

    Args:
        chunks: a speaker's chunks in order of speech, from the one that contains `position`.
        position: the start position.
        language: the language of chunks without one.
    """
    if chunks:
        yield from _Segmenter(chunks, position, language).segments()


class _Segmenter:
    """One segmentation. A word's position is a pair: the index of its chunk, and its index in that chunk."""

    def __init__(self, chunks: Sequence[ChunkState], start_position: SegmenterPosition, language: str | None) -> None:
        self.chunks = chunks
        self.language = language
        self.word_spans: list[WordSpans] = [split_words(chunk.text) for chunk in chunks]
        self.sizes_before = [0]  # of all chunks before the i-th
        for chunk in self.word_spans:
            self.sizes_before.append(self.sizes_before[-1] + chunk.sizes[-1])
        self.start_position = start_position
        self.next_word = self._word_after(0, _first_word(chunks, start_position) - 1)
        self.index_in_chunk = (
            start_position.index_in_chunk
            if self.next_word[0] == 0 and chunks[0].ordinal == start_position.chunk_ordinal
            else 0
        )
        self.unpunctuated_size = start_position.unpunctuated_size
        self.uses_punctuation = start_position.uses_punctuation

    def segments(self) -> Iterator[Segment]:
        for stop in self._punctuated_ends():
            size = self.unpunctuated_size + self._size(stop)
            if size > MAX_UNPUNCTUATED_SIZE:
                yield from self._split_unpunctuated(stop)
            self.uses_punctuation = True
            yield self._take_segment(stop, SentenceBoundary.MARK)
        if self.next_word[0] < len(self.chunks):
            last = (len(self.chunks) - 1, len(self.word_spans[-1].stops) - 1)
            if not self.uses_punctuation or self.unpunctuated_size + self._size(last) > MAX_UNPUNCTUATED_SIZE:
                yield from self._split_unpunctuated(last)
            yield self._take_segment(last, SentenceBoundary.OPEN)

    def _word_after(self, i: int, j: int) -> tuple[int, int]:
        """Return the position of the next word."""
        return (i, j + 1) if j + 1 < len(self.word_spans[i].stops) else (i + 1, 0)

    def _size(self, last: tuple[int, int]) -> int:
        """Return the size of the words from `next_word` to `last`, both included."""
        (i, j), (a, b) = last, self.next_word
        return (
            self.sizes_before[i] + self.word_spans[i].sizes[j + 1] - self.sizes_before[a] - self.word_spans[a].sizes[b]
        )

    def _punctuated_ends(self) -> Iterator[tuple[int, int]]:
        """Yield the positions of the words after which a mark ends a sentence."""
        first = _first_word(self.chunks, self.start_position)
        before = self.start_position.previous_words[: max(2 - first, 0)]
        for i, chunk in enumerate(self.chunks):
            after = None
            if i + 1 < len(self.chunks):
                following = self.word_spans[i + 1]
                after = self.chunks[i + 1].text[following.starts[0] : following.stops[0]]
            for j in sentence_ends(before, chunk.text, after, chunk.language or self.language):
                if i > 0 or j >= first:
                    yield i, j
            starts, stops, _ = self.word_spans[i]
            before = (*before, *(chunk.text[a:b] for a, b in zip(starts[-2:], stops[-2:], strict=True)))[-2:]

    def _split_unpunctuated(self, last: tuple[int, int]) -> Iterator[Segment]:
        """Yield the segments that end at pauses or at the length limit before `last`, not the one that `last` ends."""
        while cut := self._next_boundary(last):
            yield self._take_segment(*cut)

    def _next_boundary(self, last: tuple[int, int]) -> tuple[tuple[int, int], SentenceBoundary] | None:
        """Return the next boundary before `last`: the word before it, and its kind; None if there is none."""
        first, word = self.next_word
        size_before = self.sizes_before[first] + self.word_spans[first].sizes[word]
        for i in range(first, last[0] + 1):
            if i > first and self._has_pause_before(i):
                return (i - 1, len(self.word_spans[i - 1].stops) - 1), SentenceBoundary.PAUSE
            if cut := self._length_limit(i, size_before - self.sizes_before[i]):
                cut = self._with_attached_marks(cut)
                return (cut, SentenceBoundary.LENGTH) if cut < last else None
        return None

    def _has_pause_before(self, i: int) -> bool:
        """Return whether a pause precedes a chunk. Standalone marks belong to the speech next to them, without a pause."""
        return (
            self.chunks[i].start - self.chunks[i - 1].end >= PAUSE_S
            and not is_attached_punctuation(self._word_text(i, 0))
            and not is_opening_punctuation(self._word_text(i - 1, -1))
        )

    def _length_limit(self, i: int, size_before: int) -> tuple[int, int] | None:
        """Return the last word that a segment may have in a chunk, or None if the whole chunk fits.

        Args:
            i: the chunk's index.
            size_before: the size of all words before the segment, minus the size of the chunks before this one.
        """
        _, stops, sizes = self.word_spans[i]
        fits = bisect_right(sizes, size_before + MAX_SEGMENT_SIZE) - 1  # number of this chunk's words that fit
        soft = max(bisect_left(sizes, size_before + SOFT_SEGMENT_SIZE), 1)
        for j in range(soft - 1, min(fits, len(stops))):
            if sizes[j + 1] > size_before and is_pause(self.chunks[i].text, stops[j]):
                return i, j
        if fits >= len(stops):
            return None
        return (
            (i, self._keep_word_whole(i, fits, size_before) - 1)
            if fits
            else (i - 1, len(self.word_spans[i - 1].stops) - 1)
        )

    def _keep_word_whole(self, i: int, fits: int, size_before: int) -> int:
        """Return the number of a chunk's words for a segment. No word of a script without spaces is split.

        Args:
            i: the chunk's index.
            fits: the maximum number of words. Each character of a script without spaces counts as a word.
            size_before: as in `_length_limit`.
        """
        text, (starts, stops, sizes) = self.chunks[i].text, self.word_spans[i]
        if not splits_unspaced_text(text, stops[fits - 1]):
            return fits
        # Look only at the segment and one more character, so that later text doesn't move the boundary.
        begin = starts[bisect_left(sizes, size_before)]
        end_offsets = {begin + end for end in word_ends(text[begin : stops[fits]])}
        soft = max(bisect_left(sizes, size_before + SOFT_SEGMENT_SIZE), 1)
        return next((count for count in range(fits, soft - 1, -1) if stops[count - 1] in end_offsets), fits)

    def _with_attached_marks(self, cut: tuple[int, int]) -> tuple[int, int]:
        """Move a boundary behind the marks that belong to its word."""
        for _ in range(MAX_MARK_WORDS):
            following = self._word_after(*cut)
            if following[0] == len(self.chunks) or not is_attached_punctuation(self._word_text(*following)):
                break
            cut = following
        return cut

    def _word_text(self, i: int, j: int) -> str:
        starts, stops, _ = self.word_spans[i]
        return self.chunks[i].text[starts[j] : stops[j]]

    def _take_segment(self, last: tuple[int, int], boundary: SentenceBoundary) -> Segment:
        """Return the segment from `next_word` to `last`, and advance to the word after it."""
        (a, b), (i, j) = self.next_word, last
        begin, stop = self.word_spans[a].starts[b], self.word_spans[i].stops[j]
        chunk, final = self.chunks[a], self.chunks[i]
        if a == i:
            text = chunk.text[begin:stop]
        else:
            text = chunk.text[begin:]
            for middle in self.chunks[a + 1 : i]:
                text = join_text(text, middle.text)
            text = join_text(text, final.text[:stop])
        start = _speech_time(chunk, begin)
        self.unpunctuated_size = 0 if boundary is SentenceBoundary.MARK else self.unpunctuated_size + self._size(last)
        segment = Segment(
            chunk_ordinal=chunk.ordinal,
            index_in_chunk=self.index_in_chunk,
            text=text,
            start=start,
            end=max(_speech_time(final, stop), start),
            boundary=boundary,
            language=chunk.language,
            end_chunk_ordinal=final.ordinal,
            end_offset=stop,
            unpunctuated_size=self.unpunctuated_size,
            uses_punctuation=self.uses_punctuation,
        )
        self.index_in_chunk = (self.index_in_chunk + 1 if a == i else 1) if j + 1 < len(self.word_spans[i].stops) else 0
        self.next_word = self._word_after(i, j)
        return segment


def _speech_time(chunk: ChunkState, offset: int) -> float:
    """Return the speech time of an offset in a chunk (s), in proportion to the text before it."""
    return round(chunk.start + (chunk.end - chunk.start) * offset / len(chunk.text), 3)
