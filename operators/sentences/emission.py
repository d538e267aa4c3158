"""When a sentence is put out, put right and settled.

A sentence is put out as soon as what it says is likely to stay: its end stands, or its speaker has been quiet, or
speech has moved on. It is settled, worth a translation, once it has stayed so a little longer. Its times move with each
word that its chunk gains, and need no new translation: they are put right once they hold still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from operators.model import Sentence, SentenceBoundary
from operators.sentences.boundaries import normalized_letters
from operators.sentences.segmenter import Segment
from operators.speaker_keys import split_speaker_key

ENDED_QUIET_MS = 200
"""A sentence that has its end is put out after this much quiet, an open one after the next."""
OPEN_QUIET_MS = 2_000
SPEECH_PASSED_S = 4.0
"""Either is put out once somebody has spoken so long past its end: at any speed of replay, time of speech moves on."""
STABLE_AFTER_MS = 1_000
"""A sentence that has its end is settled once it has read the same for this long, an open one after the next."""
OPEN_STABLE_AFTER_MS = 4_000
"""Long enough for most late marks; a speaker who uses none (`Segment.marked`) waits no longer than `OPEN_QUIET_MS`."""


class SentenceState(NamedTuple):
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

    segment: Segment
    text_since: int
    unchanged_since: int
    revision: int = 0
    emitted_segment: Segment | None = None
    owner: str | None = None
    stable: bool = False
    first_emitted: float = 0.0
    first_text: str = ""

    @property
    def is_emitted(self) -> bool:
        """Whether what it says is what was put out."""
        same = self.emitted_segment is None or has_same_text(self.emitted_segment, self.segment)
        return self.revision > 0 and self.owner is None and same

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be put out or settled."""
        return self.stable and self.emitted_segment is None and self.owner is None

    def with_segment(self, segment: Segment, at: int) -> SentenceState:
        """The line once it reads so, at a time (ms)."""
        if segment == self.segment:
            return self
        emitted_segment = self.emitted_segment or (self.segment if self.revision else None)
        if emitted_segment is not None and _is_same_segment(emitted_segment, segment):
            emitted_segment = None
        text_since = self.text_since if has_same_text(self.segment, segment) else at
        unchanged_since = self.unchanged_since if _is_same_segment(self.segment, segment) else at
        return self._replace(
            segment=segment, emitted_segment=emitted_segment, text_since=text_since, unchanged_since=unchanged_since
        )

    def to_sentence(self, speaker_key: str) -> Sentence:
        """The sentence as it was put out last."""
        speaker, speaker_id = split_speaker_key(speaker_key)
        segment = self.emitted_segment or self.segment
        return Sentence(
            id=self.segment.id,
            revision=self.revision,
            speaker=speaker,
            text=segment.text,
            start=segment.start,
            end=segment.end,
            boundary=segment.boundary,
            language=segment.language,
            first_emitted=self.first_emitted,
            first_text=self.first_text,
            speaker_id=speaker_id,
        )


def has_same_text(a: Segment, b: Segment) -> bool:
    """Whether two pieces say the same: then they need one translation."""
    return a.text == b.text and a.language == b.language


def _is_same_segment(a: Segment, b: Segment) -> bool:
    return has_same_text(a, b) and (a.start, a.end, a.boundary) == (b.start, b.end, b.boundary)


@dataclass(frozen=True, slots=True)
class StreamTime:
    """The time at which lines are looked at.

    Attributes:
        at: ms.
        stream: the same in stream seconds from the meeting's start.
        reach: the latest speech time heard of (s).
        over: whether the meeting ends here.
    """

    at: int
    stream_s: float
    speech_watermark: float
    meeting_ended: bool


def emit_if_due(sentence: SentenceState, followed: bool, now: StreamTime) -> SentenceState:
    """Put a line out if it is time, as a new revision where it says something new.

    Args:
        followed: whether its speaker has begun the next sentence.

    Returns:
        The line after that; the same one if it isn't time.
    """
    if sentence.is_emitted:
        quiet = now.at - sentence.unchanged_since >= OPEN_QUIET_MS
        return (
            sentence._replace(emitted_segment=None)
            if sentence.emitted_segment is not None and (quiet or now.meeting_ended)
            else sentence
        )
    is_interim = sentence.segment.boundary is SentenceBoundary.OPEN and not _starts_differently(sentence)
    quiet_ms = OPEN_QUIET_MS if is_interim else ENDED_QUIET_MS
    if not (
        followed
        or now.meeting_ended
        or now.at - sentence.text_since >= quiet_ms
        or now.speech_watermark - sentence.segment.end >= SPEECH_PASSED_S
    ):
        return sentence
    if sentence.revision:
        return sentence._replace(revision=sentence.revision + 1, emitted_segment=None, owner=None, stable=False)
    return sentence._replace(revision=1, first_emitted=now.stream_s, first_text=sentence.segment.text)


def _starts_differently(sentence: SentenceState) -> bool:
    """Whether the piece begins otherwise than what was put out: sentences before it merged, and it holds other words now."""
    if sentence.emitted_segment is None:
        return False
    before, after = normalized_letters(sentence.emitted_segment.text)[:4], normalized_letters(sentence.segment.text)[:4]
    return not before.startswith(after) and not after.startswith(before)


def is_stable(sentence: SentenceState, now: StreamTime) -> bool:
    """Whether the line's revision is worth a translation now. Each one is, once."""
    if sentence.stable or not sentence.is_emitted:
        return False
    wait_ms = STABLE_AFTER_MS
    if sentence.segment.boundary is SentenceBoundary.OPEN:
        wait_ms = OPEN_STABLE_AFTER_MS if sentence.segment.uses_punctuation else OPEN_QUIET_MS
    return now.meeting_ended or now.at - sentence.text_since >= wait_ms
