"""What a speaker's chunks read as: their text, cut into the pieces that are sentences.

A pure function of the chunks' text and speech time. Marks cut first. What lies between two marks, a run, is cut again,
by pauses and by length, only where it is unpunctuated speech: its speaker has ended no sentence with a mark yet, or
nobody would say so much in one sentence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from operators.model import SentenceBoundary
from operators.sentences.boundaries import (
    WORD_SIZE,
    WordSpans,
    is_attached_punctuation,
    is_pause,
    join_text,
    sentence_ends,
    split_words,
    splits_unspaced_text,
)
from operators.sentences.word_breaks import word_ends

PAUSE_S = 0.8
"""The pause between two chunks that ends a piece of unpunctuated speech."""
MAX_SEGMENT_SIZE = 30 * WORD_SIZE
"""The longest piece of unpunctuated speech."""
SOFT_SEGMENT_SIZE = 20 * WORD_SIZE
"""From this size on a piece of a script without spaces ends where there is one, or a comma."""
MAX_UNPUNCTUATED_SIZE = 120 * WORD_SIZE
"""A longer run without a mark is unpunctuated speech, whoever says it."""


class ChunkState(NamedTuple):
    """A chunk as it is held.

    Attributes:
        n: ordinal of its first entry.
        at: arrival of its last revision (ms).
        text: with single spaces.
        start, end: seconds from the meeting's start.
        agreed: how many of its words its last two revisions agree on.
        closed: whether it takes no more revisions.
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
    """A cut, and all that the reading from there on needs to know of what came before it.

    Attributes:
        n: the chunk in which the piece before it ends; 0 where nothing came before.
        offset: characters of that chunk's text before the cut.
        k: cuts in that chunk, this one included.
        before: the last two words.
        run: size of the run so far; 0 where a mark ended it.
        marked: whether the speaker has ended a sentence with a mark.
    """

    chunk_ordinal: int = 0
    offset: int = 0
    index_in_chunk: int = 0
    previous_words: tuple[str, ...] = ()
    unpunctuated_size: int = 0
    uses_punctuation: bool = False


class Segment(NamedTuple):
    """A piece of a speaker's speech.

    Attributes:
        n: the chunk it begins in.
        k: cuts in that chunk before it.
        text, start, end, boundary, language: as in `CaptionedSentence`.
        stop_n, stop: the chunk it ends in, and characters of that chunk's text up to its end.
        run, marked: as in `Place`, at its end.
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
        """Whether later speech can't change the cut at its end, once the word after it stays."""
        return self.unpunctuated_size == 0 or self.unpunctuated_size > MAX_UNPUNCTUATED_SIZE


def position_after(segment: Segment, chunks: Sequence[ChunkState], position: SegmenterPosition) -> SegmenterPosition:
    """The place where a piece ends.

    Args:
        piece: one that `read(said, place)` gave.
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
    """Cut chunks into pieces. The last one is `OPEN` unless a mark ends it.

    Args:
        said: a speaker's chunks in order of speech, from the one that `place` lies in.
        place: where to begin.
        language: what is spoken in chunks that name no language.
    """
    if chunks:
        yield from _Segmenter(chunks, position, language).segments()


class _Segmenter:
    """One reading. A position is a pair: a chunk's index and the index of a word in it."""

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
        """The position of the word after a word."""
        return (i, j + 1) if j + 1 < len(self.word_spans[i].stops) else (i + 1, 0)

    def _size(self, last: tuple[int, int]) -> int:
        """Size of the words from here to `last`."""
        (i, j), (a, b) = last, self.next_word
        return (
            self.sizes_before[i] + self.word_spans[i].sizes[j + 1] - self.sizes_before[a] - self.word_spans[a].sizes[b]
        )

    def _punctuated_ends(self) -> Iterator[tuple[int, int]]:
        """The words after which a mark ends a sentence."""
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
        """Cut at pauses and at the length limit, up to the piece that `last` ends."""
        while cut := self._next_boundary(last):
            yield self._take_segment(*cut)

    def _next_boundary(self, last: tuple[int, int]) -> tuple[tuple[int, int], SentenceBoundary] | None:
        """The next cut before `last`: the word that it follows, and why."""
        first, word = self.next_word
        size_before = self.sizes_before[first] + self.word_spans[first].sizes[word]
        for i in range(first, last[0] + 1):
            if i > first and self._has_pause_before(i):
                return (i - 1, len(self.word_spans[i - 1].stops) - 1), SentenceBoundary.PAUSE
            if (cut := self._length_limit(i, size_before - self.sizes_before[i])) and (
                cut := self._with_attached_marks(cut)
            ) < last:
                return cut, SentenceBoundary.LENGTH
        return None

    def _has_pause_before(self, i: int) -> bool:
        """Whether a chunk comes after a pause. Marks that come by themselves belong to the speech before them."""
        return self.chunks[i].start - self.chunks[i - 1].end >= PAUSE_S and not is_attached_punctuation(
            self._word_text(i, 0)
        )

    def _length_limit(self, i: int, size_before: int) -> tuple[int, int] | None:
        """The word of a chunk with which a piece is as long as it may be.

        Args:
            begun: the size of all words before the piece, less that of the chunks before this one.
        """
        _, stops, sizes = self.word_spans[i]
        fits = bisect_right(sizes, size_before + MAX_SEGMENT_SIZE) - 1  # so many words of this chunk
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
        """How many words of a chunk a piece takes, so that it parts none of a script without spaces.

        Args:
            fits: the most it may take; each character of such a script counts as one.
        """
        text, (starts, stops, sizes) = self.chunks[i].text, self.word_spans[i]
        if not splits_unspaced_text(text, stops[fits - 1]):
            return fits
        # Of the piece and one character more: so it is cut in the same place whatever comes later.
        begin = starts[bisect_left(sizes, size_before)]
        end_offsets = {begin + end for end in word_ends(text[begin : stops[fits]])}
        soft = max(bisect_left(sizes, size_before + SOFT_SEGMENT_SIZE), 1)
        return next((count for count in range(fits, soft - 1, -1) if stops[count - 1] in end_offsets), fits)

    def _with_attached_marks(self, cut: tuple[int, int]) -> tuple[int, int]:
        """A cut, moved behind the marks that belong to its word."""
        while (following := self._word_after(*cut))[0] < len(self.chunks) and is_attached_punctuation(
            self._word_text(*following)
        ):
            cut = following
        return cut

    def _word_text(self, i: int, j: int) -> str:
        starts, stops, _ = self.word_spans[i]
        return self.chunks[i].text[starts[j] : stops[j]]

    def _take_segment(self, last: tuple[int, int], boundary: SentenceBoundary) -> Segment:
        """The piece from here to `last`; what follows it is here next."""
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
    """When a character of a chunk was said: its words are taken to be evenly spread over its time."""
    return round(chunk.start + (chunk.end - chunk.start) * offset / len(chunk.text), 3)
