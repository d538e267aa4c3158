"""Sentences: one open sentence a speaker, put out early, revised as its source revises, settled once it holds still.

What the sentences are is a pure function of the chunks' text and speech time (`operators.sentences.segmenter`), never of their
arrival. When they are emitted follows from the updates' time (`operators.sentences.emission`). This module keeps their
identity: a sentence is identified by the chunk in which it begins and by the number of boundaries before it there. A
revision of a chunk touches as few sentences as it must.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from operators.characters import is_blank
from operators.model import (
    ChunkRevision,
    ChunkUpdate,
    Interim,
    MeetingConfig,
    Retraction,
    Sentence,
    SentenceBoundary,
    SentenceChanges,
)
from operators.sentences.emission import SentenceState, StreamTime, emit_if_due, is_stable
from operators.sentences.interim import InterimState, next_interim, stable_word_count
from operators.sentences.segmenter import ChunkState, SegmenterPosition, position_after, segment_speech
from operators.speaker_keys import chunk_speaker_key, split_speaker_key


class SpeakerState(NamedTuple):
    """A speaker, or one of several who have the same name.

    Attributes:
        said: chunks in order of speech, from the one that `place` lies in.
        place: where the speech begins that may still change.
        lines: what it reads as from there on.
        shown: the growing text.
    """

    chunks: tuple[ChunkState, ...] = ()
    position: SegmenterPosition = SegmenterPosition()
    sentences: tuple[SentenceState, ...] = ()
    interim: InterimState = InterimState()


class DetachedSentence(NamedTuple):
    """An emitted sentence that the text no longer holds. While its chunk is open or held it may come back.

    Attributes:
        speaker: the voice whose text held it last.
        line: how it stood; nobody owns it any more once it is retracted.
    """

    speaker_key: str
    sentence: SentenceState


@dataclass(frozen=True, slots=True)
class State:
    """A meeting's speech that may still change, by voice (`operators.speaker_keys`), and the latest speech time heard of (s).

    `taken_back` has the chunks that say nothing any more, as their ids and ordinals, until they close. `language` is what the
    meeting's config says is spoken; None where it leaves that open.
    """

    voices: dict[str, SpeakerState] = field(default_factory=dict[str, SpeakerState])
    gone: dict[str, DetachedSentence] = field(default_factory=dict[str, DetachedSentence])
    reach: float = 0.0
    taken_back: dict[str, int] = field(default_factory=dict[str, int])
    language: str | None = None


def step(state: State, update: ChunkUpdate) -> tuple[State, SentenceChanges]:
    """Take one update.

    Args:
        state: the meeting's state; `State()` at first.
        update: from `operators.dedup`.

    Returns:
        The state after it, and what it did to the meeting's sentences.
    """
    work = _SentenceUpdate(state, update)
    if update.config is not None:
        work.apply_config(update.config)
    if update.revision is not None:
        work.apply_revision(update.revision)
    work.emit_due()
    work.retract_replaced()
    work.update_interims()
    if update.closed_chunk_ids:
        work.release_closed()
    return (State() if update.meeting_ended else work.next_state()), work.changes()


class _SentenceUpdate:
    """One step: copies of what the state holds, and what is put out on the way."""

    def __init__(self, state: State, update: ChunkUpdate) -> None:
        self.speakers = dict(state.voices)
        self.detached = dict(state.gone)
        self.emptied_chunks = dict(state.taken_back)
        self.language = state.language
        self.speech_watermark = state.reach
        if update.revision is not None and not is_blank(update.revision.chunk.text):
            self.speech_watermark = max(self.speech_watermark, update.revision.chunk.end)
        self.update = update
        stream_s = (update.at - update.began_at) / 1000
        self.now = StreamTime(update.at, stream_s, self.speech_watermark, update.meeting_ended)
        self.emitted: list[Sentence] = []
        self.stable: list[Sentence] = []
        self.retractions: list[Retraction] = []
        self.interims: list[Interim] = []

    def next_state(self) -> State:
        """The state after the step."""
        return State(self.speakers, self.detached, self.speech_watermark, self.emptied_chunks, self.language)

    def changes(self) -> SentenceChanges:
        """What the step did."""
        # As they were said, whoever said them: captions are asked for, and come, in this order.
        self.emitted.sort(key=lambda sentence: sentence.start)
        self.stable.sort(key=lambda sentence: sentence.start)
        return SentenceChanges(tuple(self.emitted), tuple(self.retractions), tuple(self.stable), tuple(self.interims))

    def apply_config(self, config: MeetingConfig) -> None:
        """Take a config, and read what may still change anew if another language is spoken."""
        language = None if config.source_language == "auto" else config.source_language
        if language != self.language:
            self.language = language
            for speaker in self.speakers:
                self._resegment(speaker, 0)

    def apply_revision(self, revision: ChunkRevision) -> None:
        """Take a new chunk or a changed one, and read its voice anew; the one it was taken from too, if it moved."""
        chunk, speaker = revision.chunk, chunk_speaker_key(revision.chunk)
        before, index = self._remove_chunk(revision.ordinal, speaker)
        if is_blank(chunk.text):
            self.emptied_chunks[chunk.chunk_id] = revision.ordinal
            if index is not None:
                self._resegment(speaker, index)
            return
        self.emptied_chunks.pop(chunk.chunk_id, None)
        text = " ".join(chunk.text.split())
        new = ChunkState(
            chunk_id=chunk.chunk_id,
            ordinal=revision.ordinal,
            revised_at=revision.arrived_at,
            text=text,
            start=chunk.start,
            end=chunk.end,
            language=chunk.language,
            stable_word_count=stable_word_count(before, text),
        )
        voice = self.speakers.get(speaker, SpeakerState())
        said = voice.chunks
        position = bisect_right(
            said, (new.start, new.ordinal), lo=_closed_count(said), key=lambda held: (held.start, held.ordinal)
        )
        self.speakers[speaker] = voice._replace(chunks=(*said[:position], new, *said[position:]))
        self._resegment(speaker, position if index is None else min(position, index))

    def _remove_chunk(self, n: int, speaker: str) -> tuple[ChunkState | None, int | None]:
        """Take out what a chunk said until now, and read the voice anew if that is another one than this.

        Returns:
            What it said, and its index if it was said in this voice.
        """
        for other, voice in self.speakers.items():
            if (index := _index_of(voice.chunks, n)) is None:
                continue
            self.speakers[other] = voice._replace(chunks=_without_index(voice.chunks, index))
            if other == speaker:
                return voice.chunks[index], index
            self._resegment(other, index)
            return voice.chunks[index], None
        return None, None

    def _resegment(self, speaker: str, changed: int) -> None:
        """Read a speaker anew, from the last cut that the chunk at index `changed` can't have moved."""
        voice = self.speakers[speaker]
        index = {held.ordinal: i for i, held in enumerate(voice.chunks)}
        kept, place = len(voice.sentences), voice.position
        while kept > 0:
            piece = voice.sentences[kept - 1].segment
            last = index.get(piece.end_chunk_ordinal, changed)
            # The word after the cut must lie before the change, too.
            if piece.is_final and (
                last < changed - 1 or (last == changed - 1 and piece.end_offset < len(voice.chunks[last].text))
            ):
                place = position_after(piece, voice.chunks, voice.position)
                break
            kept -= 1
        old = {line.segment.id: line for line in voice.sentences[kept:]}
        lines = list(voice.sentences[:kept])
        for piece in segment_speech(voice.chunks[index.get(place.chunk_ordinal, 0) :], place, self.language):
            line = old.pop(piece.id, None) or self._restore_detached(piece.id, speaker)
            at = self.update.at
            lines.append(SentenceState(piece, at, at) if line is None else line.with_segment(piece, at))
        for sentence_id, line in old.items():
            if line.revision:
                self.detached[sentence_id] = DetachedSentence(speaker, line)
        self.speakers[speaker] = voice._replace(sentences=tuple(lines))

    def _restore_detached(self, sentence_id: str, speaker: str) -> SentenceState | None:
        gone = self.detached.pop(sentence_id, None)
        if gone is None:
            return None
        owner = gone.speaker_key if gone.sentence.owner is None else gone.sentence.owner
        at = self.update.at
        return gone.sentence._replace(text_since=at, unchanged_since=at, owner=None if owner == speaker else owner)

    def emit_due(self) -> None:
        """Put out, put right and settle what it is time for."""
        for speaker, voice in self.speakers.items():
            lines: list[SentenceState] | None = None
            for i, line in enumerate(voice.sentences):
                if self.now.meeting_ended and line.segment.boundary is SentenceBoundary.OPEN:
                    line = line.with_segment(line.segment._replace(boundary=SentenceBoundary.END), self.now.at)
                if line.is_finished:
                    continue
                new = emit_if_due(line, i + 1 < len(voice.sentences), self.now)
                if new is not line:
                    self.emitted.append(new.to_sentence(speaker))
                if is_stable(new, self.now):
                    new = new._replace(stable=True)
                    self.stable.append(new.to_sentence(speaker))
                if new is not line:
                    lines = lines or list(voice.sentences)
                    lines[i] = new
            if lines is not None:
                self.speakers[speaker] = voice._replace(sentences=tuple(lines))

    def retract_replaced(self) -> None:
        """Retract what the text no longer holds, once the sentence that holds its words now is put out."""
        for sentence_id, gone in self.detached.items():
            if gone.sentence.owner != "" and (self.now.meeting_ended or not self._is_replacement_pending(gone)):
                line = gone.sentence._replace(revision=gone.sentence.revision + 1, owner="")
                self.detached[sentence_id] = DetachedSentence(gone.speaker_key, line)
                self.retractions.append(Retraction(sentence_id, line.revision))

    def _is_replacement_pending(self, gone: DetachedSentence) -> bool:
        """Whether the sentence that holds the words of a gone one now has still to be put out."""
        voice = self.speakers[gone.speaker_key]
        index = {held.ordinal: i for i, held in enumerate(voice.chunks)}
        if gone.sentence.segment.chunk_ordinal not in index:
            return False
        began = (index[gone.sentence.segment.chunk_ordinal], gone.sentence.segment.index_in_chunk)
        holders = [
            line
            for line in voice.sentences
            if (index[line.segment.chunk_ordinal], line.segment.index_in_chunk) <= began
        ]
        return bool(holders) and not holders[-1].is_emitted

    def update_interims(self) -> None:
        """Show what grows."""
        for speaker, voice in self.speakers.items():
            shown = next_interim(voice.interim, voice.chunks, voice.sentences, self.now.at)
            if shown.text != voice.interim.text or (shown.text and shown.base != voice.interim.base):
                language = next((line.segment.language for line in voice.sentences if shown.continues(line)), None)
                name, speaker_id = split_speaker_key(speaker)
                self.interims.append(Interim(name, shown.text, shown.start, shown.base, language, speaker_id))
            if shown != voice.interim:
                self.speakers[speaker] = voice._replace(interim=shown)

    def release_closed(self) -> None:
        """Forget the sentences that can't change any more."""
        for chunk_id in self.update.closed_chunk_ids:
            self.emptied_chunks.pop(chunk_id, None)
        held = set(self.emptied_chunks.values())
        for speaker, voice in self.speakers.items():
            closed = self.update.closed_chunk_ids
            said = tuple(one._replace(is_closed=True) if one.chunk_id in closed else one for one in voice.chunks)
            voice = self.speakers[speaker] = _drop_finished(voice._replace(chunks=said))
            held.update(one.ordinal for one in voice.chunks)
        self.detached = {
            sentence_id: gone
            for sentence_id, gone in self.detached.items()
            if gone.sentence.segment.chunk_ordinal in held
        }


def _index_of(chunks: Sequence[ChunkState], n: int) -> int | None:
    return next((i for i in range(len(chunks) - 1, -1, -1) if chunks[i].ordinal == n), None)


def _closed_count(chunks: Sequence[ChunkState]) -> int:
    """How many chunks are closed before the first open one. Nothing new is said before those."""
    return next((i for i, held in enumerate(chunks) if not held.is_closed), len(chunks))


def _without_index(chunks: tuple[ChunkState, ...], index: int) -> tuple[ChunkState, ...]:
    return (*chunks[:index], *chunks[index + 1 :])


def _drop_finished(speaker_state: SpeakerState) -> SpeakerState:
    """A speaker without the lines that are done and decided, and the chunks that hold nothing else."""
    index = {held.ordinal: i for i, held in enumerate(speaker_state.chunks)}
    closed = _closed_count(speaker_state.chunks)
    release = 0
    for i, (line, following) in enumerate(pairwise(speaker_state.sentences)):
        if not line.is_finished or index[following.segment.chunk_ordinal] >= closed:
            break
        if line.segment.is_final:
            release = i + 1
    if release == 0:
        return speaker_state
    place = position_after(speaker_state.sentences[release - 1].segment, speaker_state.chunks, speaker_state.position)
    lines = speaker_state.sentences[release:]
    return speaker_state._replace(
        chunks=speaker_state.chunks[index[lines[0].segment.chunk_ordinal] :], position=place, sentences=lines
    )
