"""The state of the sentence operator: the speech that may still change, and what of it can be released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from operators.sentences.emission import SentenceState
from operators.sentences.interim import InterimState
from operators.sentences.segmenter import ChunkState, SegmenterPosition, position_after


class SpeakerState(NamedTuple):
    """The speech of one speaker key.

    Attributes:
        chunks: the chunks in order of speech, from the one that contains `position`. A retracted chunk keeps its place,
            without text, until it closes.
        position: the start of the speech that may still change.
        sentences: the sentences from `position` on.
        interim: the shown interim text.
    """

    chunks: tuple[ChunkState, ...] = ()
    position: SegmenterPosition = SegmenterPosition()
    sentences: tuple[SentenceState, ...] = ()
    interim: InterimState = InterimState()


class DetachedSentence(NamedTuple):
    """An emitted sentence that the current segmentation no longer contains.

    It can return while the state has its chunk.

    Attributes:
        speaker_key: key of the last speaker whose segmentation contained it.
        sentence: its last state.
    """

    speaker_key: str
    sentence: SentenceState


@dataclass(frozen=True, slots=True)
class TrackerState:
    """The speech of a meeting that may still change.

    Attributes:
        speakers: the speakers by key (`operators.speaker_keys`).
        detached: the detached sentences by id.
        speech_watermark: the latest speech time so far, seconds from the meeting's start.
        language: the config's source language; None if it is `auto`.
    """

    speakers: dict[str, SpeakerState] = field(default_factory=dict[str, SpeakerState])
    detached: dict[str, DetachedSentence] = field(default_factory=dict[str, DetachedSentence])
    speech_watermark: float = 0.0
    language: str | None = None


def count_closed(chunks: Sequence[ChunkState]) -> int:
    """Return the number of closed chunks before the first open one. New chunks are never inserted before those."""
    return next((i for i, chunk in enumerate(chunks) if not chunk.is_closed), len(chunks))


def without_retracted(chunks: Sequence[ChunkState]) -> Sequence[ChunkState]:
    """Return the chunks that aren't retracted."""
    return [chunk for chunk in chunks if chunk.text]


def drop_finished(speaker_state: SpeakerState) -> SpeakerState:
    """Drop a speaker's finished and final sentences, and the chunks that contain no other sentence."""
    index = {chunk.ordinal: i for i, chunk in enumerate(speaker_state.chunks)}
    closed = count_closed(speaker_state.chunks)
    release = 0
    for i, (sentence, following) in enumerate(pairwise(speaker_state.sentences)):
        if not sentence.is_finished or index[following.segment.chunk_ordinal] >= closed:
            break
        if sentence.segment.is_final:
            release = i + 1
    if release == 0:
        return speaker_state
    present = without_retracted(speaker_state.chunks)
    position = position_after(speaker_state.sentences[release - 1].segment, present, speaker_state.position)
    sentences = speaker_state.sentences[release:]
    return speaker_state._replace(
        chunks=speaker_state.chunks[index[sentences[0].segment.chunk_ordinal] :], position=position, sentences=sentences
    )
