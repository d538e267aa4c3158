"""When a sentence is put out, put right and settled.

A sentence is put out as soon as what it says is likely to stay: its end stands, or its speaker has been quiet, or
speech has moved on. It is settled, worth a translation, once it has stayed so a little longer. Its times move with each
word that its chunk gains, and need no new translation: they are put right once they hold still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from operators.boundaries import bare
from operators.model import Boundary, Sentence
from operators.pieces import Piece
from operators.voices import person

ENDED_QUIET_MS = 200
"""A sentence that has its end is put out after this much quiet, an open one after the next."""
OPEN_QUIET_MS = 2_000
PASSED_SECONDS = 4.0
"""Either is put out once somebody has spoken so long past its end: at any speed of replay, time of speech moves on."""
SETTLE_MS = 1_000
"""A sentence that has its end is settled once it has read the same for this long, an open one after the next."""
SETTLE_OPEN_MS = 4_000
"""Long enough for most late marks; a speaker who uses none (`Piece.marked`) waits no longer than `OPEN_QUIET_MS`."""


class Line(NamedTuple):
    """A piece as it reads now, and what was put out of it.

    Attributes:
        since: since when it says what it says (ms).
        touched: since when its times and boundary are what they are (ms).
        revision: the last one put out; 0 if none was.
        shown: the piece as that revision put it out, where it has changed since.
        owner: the voice that revision still belongs to, where the piece has gone to another one; none ("") if it was
            retracted.
        settled: whether that revision was settled.
        first_emitted: stream seconds at its first revision.
        first_text: the text of that revision.
    """

    piece: Piece
    since: int
    touched: int
    revision: int = 0
    shown: Piece | None = None
    owner: str | None = None
    settled: bool = False
    first_emitted: float = 0.0
    first_text: str = ""

    @property
    def current(self) -> bool:
        """Whether what it says is what was put out."""
        same = self.shown is None or same_words(self.shown, self.piece)
        return self.revision > 0 and self.owner is None and same

    @property
    def done(self) -> bool:
        """Whether nothing is left to be put out or settled."""
        return self.settled and self.shown is None and self.owner is None

    def reads(self, piece: Piece, at: int) -> Line:
        """The line once it reads so, at a time (ms)."""
        if piece == self.piece:
            return self
        shown = self.shown or (self.piece if self.revision else None)
        if shown is not None and _same(shown, piece):
            shown = None
        since = self.since if same_words(self.piece, piece) else at
        touched = self.touched if _same(self.piece, piece) else at
        return self._replace(piece=piece, shown=shown, since=since, touched=touched)

    def sentence(self, voice: str) -> Sentence:
        """The sentence as it was put out last."""
        speaker, speaker_id = person(voice)
        piece = self.shown or self.piece
        return Sentence(
            id=self.piece.id,
            revision=self.revision,
            speaker=speaker,
            text=piece.text,
            start=piece.start,
            end=piece.end,
            boundary=piece.boundary,
            language=piece.language,
            first_emitted=self.first_emitted,
            first_text=self.first_text,
            speaker_id=speaker_id,
        )


def same_words(a: Piece, b: Piece) -> bool:
    """Whether two pieces say the same: then they need one translation."""
    return a.text == b.text and a.language == b.language


def _same(a: Piece, b: Piece) -> bool:
    return same_words(a, b) and (a.start, a.end, a.boundary) == (b.start, b.end, b.boundary)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time at which lines are looked at.

    Attributes:
        at: ms.
        stream: the same in stream seconds from the meeting's start.
        reach: the latest speech time heard of (s).
        over: whether the meeting ends here.
    """

    at: int
    stream: float
    reach: float
    over: bool


def put_out(line: Line, followed: bool, moment: Moment) -> Line:
    """Put a line out if it is time, as a new revision where it says something new.

    Args:
        followed: whether its speaker has begun the next sentence.

    Returns:
        The line after that; the same one if it isn't time.
    """
    if line.current:
        quiet = moment.at - line.touched >= OPEN_QUIET_MS
        return line._replace(shown=None) if line.shown is not None and (quiet or moment.over) else line
    growing = line.piece.boundary is Boundary.OPEN and not _replaced(line)
    quiet_ms = OPEN_QUIET_MS if growing else ENDED_QUIET_MS
    if not (
        followed or moment.over or moment.at - line.since >= quiet_ms or moment.reach - line.piece.end >= PASSED_SECONDS
    ):
        return line
    if line.revision:
        return line._replace(revision=line.revision + 1, shown=None, owner=None, settled=False)
    return line._replace(revision=1, first_emitted=moment.stream, first_text=line.piece.text)


def _replaced(line: Line) -> bool:
    """Whether the piece begins otherwise than what was put out: sentences before it merged, and it holds other words now."""
    if line.shown is None:
        return False
    before, now = bare(line.shown.text)[:4], bare(line.piece.text)[:4]
    return not before.startswith(now) and not now.startswith(before)


def settles(line: Line, moment: Moment) -> bool:
    """Whether the line's revision is worth a translation now. Each one is, once."""
    if line.settled or not line.current:
        return False
    wait_ms = SETTLE_MS
    if line.piece.boundary is Boundary.OPEN:
        wait_ms = SETTLE_OPEN_MS if line.piece.marked else OPEN_QUIET_MS
    return moment.over or moment.at - line.since >= wait_ms
