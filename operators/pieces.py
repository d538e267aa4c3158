"""What a speaker's chunks read as: their text, cut into the pieces that are sentences.

A pure function of the chunks' text and speech time. Marks cut first. What lies between two marks, a run, is cut again,
by pauses and by length, only where it is unpunctuated speech: its speaker has ended no sentence with a mark yet, or
nobody would say so much in one sentence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from operators.boundaries import WORD_SIZE, Words, attaches, ends, joined, parts_dense, pauses, words
from operators.model import Boundary
from operators.word_breaks import word_ends

PAUSE_SECONDS = 0.8
"""The pause between two chunks that ends a piece of unpunctuated speech."""
PIECE_SIZE = 30 * WORD_SIZE
"""The longest piece of unpunctuated speech."""
SOFT_SIZE = 20 * WORD_SIZE
"""From this size on a piece of a script without spaces ends where there is one, or a comma."""
RUN_SIZE = 120 * WORD_SIZE
"""A longer run without a mark is unpunctuated speech, whoever says it."""


class Said(NamedTuple):
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
    n: int
    at: int
    text: str
    start: float
    end: float
    language: str | None = None
    agreed: int = 0
    closed: bool = False


class Place(NamedTuple):
    """A cut, and all that the reading from there on needs to know of what came before it.

    Attributes:
        n: the chunk in which the piece before it ends; 0 where nothing came before.
        offset: characters of that chunk's text before the cut.
        k: cuts in that chunk, this one included.
        before: the last two words.
        run: size of the run so far; 0 where a mark ended it.
        marked: whether the speaker has ended a sentence with a mark.
    """

    n: int = 0
    offset: int = 0
    k: int = 0
    before: tuple[str, ...] = ()
    run: int = 0
    marked: bool = False


class Piece(NamedTuple):
    """A piece of a speaker's speech.

    Attributes:
        n: the chunk it begins in.
        k: cuts in that chunk before it.
        text, start, end, boundary, language: as in `Sentence`.
        stop_n, stop: the chunk it ends in, and characters of that chunk's text up to its end.
        run, marked: as in `Place`, at its end.
    """

    n: int
    k: int
    text: str
    start: float
    end: float
    boundary: Boundary
    language: str | None
    stop_n: int
    stop: int
    run: int
    marked: bool

    @property
    def id(self) -> str:
        """The sentence's id, unique in its meeting."""
        return f"{self.n}.{self.k}"

    @property
    def decided(self) -> bool:
        """Whether later speech can't change the cut at its end, once the word after it stays."""
        return self.run == 0 or self.run > RUN_SIZE


def place_after(piece: Piece, said: Sequence[Said], place: Place) -> Place:
    """The place where a piece ends.

    Args:
        piece: one that `read(said, place)` gave.
    """
    last = next(i for i, chunk in enumerate(said) if chunk.n == piece.stop_n)
    before: list[str] = []
    for i in range(last, -1, -1):
        text = said[i].text
        starts, stops, _ = words(text)
        stop = bisect_right(stops, piece.stop) if i == last else len(stops)
        first = _first_word(said, place) if i == 0 else 0
        lead = max(stop - 2 + len(before), first)
        before[:0] = [text[a:b] for a, b in zip(starts[lead:stop], stops[lead:stop], strict=True)]
        if len(before) == 2:
            break
    before = [*place.before, *before][-2:]
    k = piece.k + 1 if piece.n == piece.stop_n else 1
    return Place(piece.stop_n, piece.stop, k, tuple(before), piece.run, piece.marked)


def _first_word(said: Sequence[Said], place: Place) -> int:
    return bisect_left(words(said[0].text).starts, place.offset) if said[0].n == place.n else 0


def read(said: Sequence[Said], place: Place, language: str | None = None) -> Iterator[Piece]:
    """Cut chunks into pieces. The last one is `OPEN` unless a mark ends it.

    Args:
        said: a speaker's chunks in order of speech, from the one that `place` lies in.
        place: where to begin.
        language: what is spoken in chunks that name no language.
    """
    if said:
        yield from _Reading(said, place, language).pieces()


class _Reading:
    """One reading. A position is a pair: a chunk's index and the index of a word in it."""

    def __init__(self, said: Sequence[Said], place: Place, language: str | None) -> None:
        self.said = said
        self.language = language
        self.words: list[Words] = [words(chunk.text) for chunk in said]
        self.sizes = [0]  # of all chunks before the i-th
        for chunk in self.words:
            self.sizes.append(self.sizes[-1] + chunk.sizes[-1])
        self.place = place
        self.at = self._next(0, _first_word(said, place) - 1)
        self.k = place.k if self.at[0] == 0 and said[0].n == place.n else 0
        self.run = place.run
        self.marked = place.marked

    def pieces(self) -> Iterator[Piece]:
        for stop in self._marks():
            size = self.run + self._size(stop)
            if size > RUN_SIZE:
                yield from self._unpunctuated(stop)
            self.marked = True
            yield self._piece(stop, Boundary.MARK)
        if self.at[0] < len(self.said):
            last = (len(self.said) - 1, len(self.words[-1].stops) - 1)
            if not self.marked or self.run + self._size(last) > RUN_SIZE:
                yield from self._unpunctuated(last)
            yield self._piece(last, Boundary.OPEN)

    def _next(self, i: int, j: int) -> tuple[int, int]:
        """The position of the word after a word."""
        return (i, j + 1) if j + 1 < len(self.words[i].stops) else (i + 1, 0)

    def _size(self, last: tuple[int, int]) -> int:
        """Size of the words from here to `last`."""
        (i, j), (a, b) = last, self.at
        return self.sizes[i] + self.words[i].sizes[j + 1] - self.sizes[a] - self.words[a].sizes[b]

    def _marks(self) -> Iterator[tuple[int, int]]:
        """The words after which a mark ends a sentence."""
        first = _first_word(self.said, self.place)
        before = self.place.before[: max(2 - first, 0)]
        for i, chunk in enumerate(self.said):
            after = None
            if i + 1 < len(self.said):
                following = self.words[i + 1]
                after = self.said[i + 1].text[following.starts[0] : following.stops[0]]
            for j in ends(before, chunk.text, after, chunk.language or self.language):
                if i > 0 or j >= first:
                    yield i, j
            starts, stops, _ = self.words[i]
            before = (*before, *(chunk.text[a:b] for a, b in zip(starts[-2:], stops[-2:], strict=True)))[-2:]

    def _unpunctuated(self, last: tuple[int, int]) -> Iterator[Piece]:
        """Cut at pauses and at the length limit, up to the piece that `last` ends."""
        while cut := self._cut(last):
            yield self._piece(*cut)

    def _cut(self, last: tuple[int, int]) -> tuple[tuple[int, int], Boundary] | None:
        """The next cut before `last`: the word that it follows, and why."""
        first, word = self.at
        begun = self.sizes[first] + self.words[first].sizes[word]
        for i in range(first, last[0] + 1):
            if i > first and self._pauses_before(i):
                return (i - 1, len(self.words[i - 1].stops) - 1), Boundary.PAUSE
            if (cut := self._longest(i, begun - self.sizes[i])) and (cut := self._with_marks(cut)) < last:
                return cut, Boundary.LENGTH
        return None

    def _pauses_before(self, i: int) -> bool:
        """Whether a chunk comes after a pause. Marks that come by themselves belong to the speech before them."""
        return self.said[i].start - self.said[i - 1].end >= PAUSE_SECONDS and not attaches(self._word(i, 0))

    def _longest(self, i: int, begun: int) -> tuple[int, int] | None:
        """The word of a chunk with which a piece is as long as it may be.

        Args:
            begun: the size of all words before the piece, less that of the chunks before this one.
        """
        _, stops, sizes = self.words[i]
        fits = bisect_right(sizes, begun + PIECE_SIZE) - 1  # so many words of this chunk
        soft = max(bisect_left(sizes, begun + SOFT_SIZE), 1)
        for j in range(soft - 1, min(fits, len(stops))):
            if sizes[j + 1] > begun and pauses(self.said[i].text, stops[j]):
                return i, j
        if fits >= len(stops):
            return None
        return (i, self._whole_word(i, fits, begun) - 1) if fits else (i - 1, len(self.words[i - 1].stops) - 1)

    def _whole_word(self, i: int, fits: int, begun: int) -> int:
        """How many words of a chunk a piece takes, so that it parts none of a script without spaces.

        Args:
            fits: the most it may take; each character of such a script counts as one.
        """
        text, (starts, stops, sizes) = self.said[i].text, self.words[i]
        if not parts_dense(text, stops[fits - 1]):
            return fits
        # Of the piece and one character more: so it is cut in the same place whatever comes later.
        begin = starts[bisect_left(sizes, begun)]
        ends = {begin + end for end in word_ends(text[begin : stops[fits]])}
        soft = max(bisect_left(sizes, begun + SOFT_SIZE), 1)
        return next((count for count in range(fits, soft - 1, -1) if stops[count - 1] in ends), fits)

    def _with_marks(self, cut: tuple[int, int]) -> tuple[int, int]:
        """A cut, moved behind the marks that belong to its word."""
        while (following := self._next(*cut))[0] < len(self.said) and attaches(self._word(*following)):
            cut = following
        return cut

    def _word(self, i: int, j: int) -> str:
        starts, stops, _ = self.words[i]
        return self.said[i].text[starts[j] : stops[j]]

    def _piece(self, last: tuple[int, int], boundary: Boundary) -> Piece:
        """The piece from here to `last`; what follows it is here next."""
        (a, b), (i, j) = self.at, last
        begin, stop = self.words[a].starts[b], self.words[i].stops[j]
        chunk, final = self.said[a], self.said[i]
        if a == i:
            text = chunk.text[begin:stop]
        else:
            text = chunk.text[begin:]
            for middle in self.said[a + 1 : i]:
                text = joined(text, middle.text)
            text = joined(text, final.text[:stop])
        start = _time(chunk, begin)
        self.run = 0 if boundary is Boundary.MARK else self.run + self._size(last)
        piece = Piece(
            n=chunk.n,
            k=self.k,
            text=text,
            start=start,
            end=max(_time(final, stop), start),
            boundary=boundary,
            language=chunk.language,
            stop_n=final.n,
            stop=stop,
            run=self.run,
            marked=self.marked,
        )
        self.k = (self.k + 1 if a == i else 1) if j + 1 < len(self.words[i].stops) else 0
        self.at = self._next(i, j)
        return piece


def _time(chunk: Said, offset: int) -> float:
    """When a character of a chunk was said: its words are taken to be evenly spread over its time."""
    return round(chunk.start + (chunk.end - chunk.start) * offset / len(chunk.text), 3)
