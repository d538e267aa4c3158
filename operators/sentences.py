"""Sentences: one open sentence a speaker, put out early, revised as its source revises, settled once it holds still.

What the sentences are is a pure function of the chunks' text and speech time (`operators.pieces`), never of their
arrival. When they are put out follows from the updates' time (`operators.lines`). Here is their identity: a sentence is
known by the chunk it begins in and by the cuts before it there, and a revision of a chunk touches as few of them as it
must.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from operators.characters import says_nothing
from operators.interim import Shown, agreed, grow
from operators.lines import Line, Moment, put_out, settles
from operators.model import Boundary, Interim, MeetingConfig, Retracted, Revision, Sentence, Sentences, Update
from operators.pieces import Place, Said, place_after, read
from operators.voices import person, voice_of


class Voice(NamedTuple):
    """A speaker, or one of several who have the same name.

    Attributes:
        said: chunks in order of speech, from the one that `place` lies in.
        place: where the speech begins that may still change.
        lines: what it reads as from there on.
        shown: the growing text.
    """

    said: tuple[Said, ...] = ()
    place: Place = Place()
    lines: tuple[Line, ...] = ()
    shown: Shown = Shown()


class Gone(NamedTuple):
    """An emitted sentence that the text no longer holds. While its chunk is open or held it may come back.

    Attributes:
        speaker: the voice whose text held it last.
        line: how it stood; nobody owns it any more once it is retracted.
    """

    speaker: str
    line: Line


@dataclass(frozen=True, slots=True)
class State:
    """A meeting's speech that may still change, by voice (`operators.voices`), and the latest speech time heard of (s).

    `taken_back` has the chunks that say nothing any more, as their ids and ordinals, until they close. `language` is what the
    meeting's config says is spoken; None where it leaves that open.
    """

    voices: dict[str, Voice] = field(default_factory=dict[str, Voice])
    gone: dict[str, Gone] = field(default_factory=dict[str, Gone])
    reach: float = 0.0
    taken_back: dict[str, int] = field(default_factory=dict[str, int])
    language: str | None = None


def step(state: State, update: Update) -> tuple[State, Sentences]:
    """Take one update.

    Args:
        state: the meeting's state; `State()` at first.
        update: from `operators.dedup`.

    Returns:
        The state after it, and what it did to the meeting's sentences.
    """
    work = _Step(state, update)
    if update.config is not None:
        work.configure(update.config)
    if update.revised is not None:
        work.revise(update.revised)
    work.advance()
    work.retract()
    work.grow()
    if update.closed:
        work.close()
    return (State() if update.ended else work.state()), work.sentences()


class _Step:
    """One step: copies of what the state holds, and what is put out on the way."""

    def __init__(self, state: State, update: Update) -> None:
        self.voices = dict(state.voices)
        self.gone = dict(state.gone)
        self.taken_back = dict(state.taken_back)
        self.language = state.language
        self.reach = state.reach
        if update.revised is not None and not says_nothing(update.revised.chunk.text):
            self.reach = max(self.reach, update.revised.chunk.end)
        self.update = update
        stream = (update.at - update.began) / 1000
        self.moment = Moment(update.at, stream, self.reach, update.ended)
        self.put_out: list[Sentence] = []
        self.settled: list[Sentence] = []
        self.retracted: list[Retracted] = []
        self.interims: list[Interim] = []

    def state(self) -> State:
        """The state after the step."""
        return State(self.voices, self.gone, self.reach, self.taken_back, self.language)

    def sentences(self) -> Sentences:
        """What the step did."""
        # As they were said, whoever said them: captions are asked for, and come, in this order.
        self.put_out.sort(key=lambda sentence: sentence.start)
        self.settled.sort(key=lambda sentence: sentence.start)
        return Sentences(tuple(self.put_out), tuple(self.retracted), tuple(self.settled), tuple(self.interims))

    def configure(self, config: MeetingConfig) -> None:
        """Take a config, and read what may still change anew if another language is spoken."""
        language = None if config.source_language == "auto" else config.source_language
        if language != self.language:
            self.language = language
            for speaker in self.voices:
                self._read(speaker, 0)

    def revise(self, revised: Revision) -> None:
        """Take a new chunk or a changed one, and read its voice anew; the one it was taken from too, if it moved."""
        chunk, speaker = revised.chunk, voice_of(revised.chunk)
        before, index = self._take_out(revised.n, speaker)
        if says_nothing(chunk.text):
            self.taken_back[chunk.chunk_id] = revised.n
            if index is not None:
                self._read(speaker, index)
            return
        self.taken_back.pop(chunk.chunk_id, None)
        text = " ".join(chunk.text.split())
        new = Said(
            chunk_id=chunk.chunk_id,
            n=revised.n,
            at=revised.at,
            text=text,
            start=chunk.start,
            end=chunk.end,
            language=chunk.language,
            agreed=agreed(before, text),
        )
        voice = self.voices.get(speaker, Voice())
        said = voice.said
        position = bisect_right(said, (new.start, new.n), lo=_closed(said), key=lambda held: (held.start, held.n))
        self.voices[speaker] = voice._replace(said=(*said[:position], new, *said[position:]))
        self._read(speaker, position if index is None else min(position, index))

    def _take_out(self, n: int, speaker: str) -> tuple[Said | None, int | None]:
        """Take out what a chunk said until now, and read the voice anew if that is another one than this.

        Returns:
            What it said, and its index if it was said in this voice.
        """
        for other, voice in self.voices.items():
            if (index := _index(voice.said, n)) is None:
                continue
            self.voices[other] = voice._replace(said=_without(voice.said, index))
            if other == speaker:
                return voice.said[index], index
            self._read(other, index)
            return voice.said[index], None
        return None, None

    def _read(self, speaker: str, changed: int) -> None:
        """Read a speaker anew, from the last cut that the chunk at index `changed` can't have moved."""
        voice = self.voices[speaker]
        index = {held.n: i for i, held in enumerate(voice.said)}
        kept, place = len(voice.lines), voice.place
        while kept > 0:
            piece = voice.lines[kept - 1].piece
            last = index.get(piece.stop_n, changed)
            # The word after the cut must lie before the change, too.
            if piece.decided and (
                last < changed - 1 or (last == changed - 1 and piece.stop < len(voice.said[last].text))
            ):
                place = place_after(piece, voice.said, voice.place)
                break
            kept -= 1
        old = {line.piece.id: line for line in voice.lines[kept:]}
        lines = list(voice.lines[:kept])
        for piece in read(voice.said[index.get(place.n, 0) :], place, self.language):
            line = old.pop(piece.id, None) or self._comes_back(piece.id, speaker)
            at = self.update.at
            lines.append(Line(piece, at, at) if line is None else line.reads(piece, at))
        for sentence_id, line in old.items():
            if line.revision:
                self.gone[sentence_id] = Gone(speaker, line)
        self.voices[speaker] = voice._replace(lines=tuple(lines))

    def _comes_back(self, sentence_id: str, speaker: str) -> Line | None:
        gone = self.gone.pop(sentence_id, None)
        if gone is None:
            return None
        owner = gone.speaker if gone.line.owner is None else gone.line.owner
        at = self.update.at
        return gone.line._replace(since=at, touched=at, owner=None if owner == speaker else owner)

    def advance(self) -> None:
        """Put out, put right and settle what it is time for."""
        for speaker, voice in self.voices.items():
            lines: list[Line] | None = None
            for i, line in enumerate(voice.lines):
                if self.moment.over and line.piece.boundary is Boundary.OPEN:
                    line = line.reads(line.piece._replace(boundary=Boundary.END), self.moment.at)
                if line.done:
                    continue
                new = put_out(line, i + 1 < len(voice.lines), self.moment)
                if new is not line:
                    self.put_out.append(new.sentence(speaker))
                if settles(new, self.moment):
                    new = new._replace(settled=True)
                    self.settled.append(new.sentence(speaker))
                if new is not line:
                    lines = lines or list(voice.lines)
                    lines[i] = new
            if lines is not None:
                self.voices[speaker] = voice._replace(lines=tuple(lines))

    def retract(self) -> None:
        """Retract what the text no longer holds, once the sentence that holds its words now is put out."""
        for sentence_id, gone in self.gone.items():
            if gone.line.owner != "" and (self.moment.over or not self._awaited(gone)):
                line = gone.line._replace(revision=gone.line.revision + 1, owner="")
                self.gone[sentence_id] = Gone(gone.speaker, line)
                self.retracted.append(Retracted(sentence_id, line.revision))

    def _awaited(self, gone: Gone) -> bool:
        """Whether the sentence that holds the words of a gone one now has still to be put out."""
        voice = self.voices[gone.speaker]
        index = {held.n: i for i, held in enumerate(voice.said)}
        if gone.line.piece.n not in index:
            return False
        began = (index[gone.line.piece.n], gone.line.piece.k)
        holders = [line for line in voice.lines if (index[line.piece.n], line.piece.k) <= began]
        return bool(holders) and not holders[-1].current

    def grow(self) -> None:
        """Show what grows."""
        for speaker, voice in self.voices.items():
            shown = grow(voice.shown, voice.said, voice.lines, self.moment.at)
            if shown.text != voice.shown.text or (shown.text and shown.base != voice.shown.base):
                language = next((line.piece.language for line in voice.lines if shown.goes_on(line)), None)
                name, speaker_id = person(speaker)
                self.interims.append(Interim(name, shown.text, shown.start, shown.base, language, speaker_id))
            if shown != voice.shown:
                self.voices[speaker] = voice._replace(shown=shown)

    def close(self) -> None:
        """Forget the sentences that can't change any more."""
        for chunk_id in self.update.closed:
            self.taken_back.pop(chunk_id, None)
        held = set(self.taken_back.values())
        for speaker, voice in self.voices.items():
            closed = self.update.closed
            said = tuple(one._replace(closed=True) if one.chunk_id in closed else one for one in voice.said)
            voice = self.voices[speaker] = _released(voice._replace(said=said))
            held.update(one.n for one in voice.said)
        self.gone = {sentence_id: gone for sentence_id, gone in self.gone.items() if gone.line.piece.n in held}


def _index(said: Sequence[Said], n: int) -> int | None:
    return next((i for i in range(len(said) - 1, -1, -1) if said[i].n == n), None)


def _closed(said: Sequence[Said]) -> int:
    """How many chunks are closed before the first open one. Nothing new is said before those."""
    return next((i for i, held in enumerate(said) if not held.closed), len(said))


def _without(said: tuple[Said, ...], index: int) -> tuple[Said, ...]:
    return (*said[:index], *said[index + 1 :])


def _released(voice: Voice) -> Voice:
    """A speaker without the lines that are done and decided, and the chunks that hold nothing else."""
    index = {held.n: i for i, held in enumerate(voice.said)}
    closed = _closed(voice.said)
    release = 0
    for i, (line, following) in enumerate(pairwise(voice.lines)):
        if not line.done or index[following.piece.n] >= closed:
            break
        if line.piece.decided:
            release = i + 1
    if release == 0:
        return voice
    place = place_after(voice.lines[release - 1].piece, voice.said, voice.place)
    lines = voice.lines[release:]
    return voice._replace(said=voice.said[index[lines[0].piece.n] :], place=place, lines=lines)
