"""Emission of sentences: when a sentence is emitted, corrected, and stable.

A sentence is emitted as soon as its text is unlikely to change: it has an end, its speaker is quiet, or speech has moved on.
It is stable, and gets translated, once its text has not changed for a little longer. Its times change with each word that
its chunk gains, but need no new translation. They are corrected once they no longer change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from operators.entries import SentenceCorrected
from operators.sentence_corrections import to_user_text
from operators.sentences.boundaries import normalized_letters
from operators.sentences.segmenter import Segment
from operators.speaker_keys import split_speaker_key
from operators.stream import Sentence, SentenceBoundary

ENDED_QUIET_MS = 200
"""Milliseconds without a change after which a sentence with an end is emitted."""
OPEN_QUIET_MS = 2_000
"""Milliseconds without a change after which an open sentence is emitted."""
SPEECH_PASSED_S = 4.0
"""Seconds of speech after a sentence's end, by any speaker, after which it is emitted. Independent of a replay's speed."""
STABLE_AFTER_MS = 1_000
"""Milliseconds without a change of text after which a sentence with an end is stable."""
OPEN_STABLE_AFTER_MS = 4_000
"""Milliseconds without a change of text after which an open sentence is stable: long enough for most late marks. For speakers
without punctuation (`Segment.uses_punctuation`) it is `OPEN_QUIET_MS`."""


class SentenceState(NamedTuple):
    """A sentence: its current segment, and its last emission.

    Attributes:
        segment: the current segment.
        text_since: time of the last change of the text or language (ms).
        unchanged_since: time of the last change of the segment, its times and boundary included (ms).
        revision: number of the last emitted revision; 0 if none was emitted.
        emitted_segment: the last emitted segment, if the segment has changed since.
        previous_speaker_key: key of that revision's speaker, if the segment has moved to another one since.
        stable: whether that revision is stable.
        first_emitted: stream seconds from the meeting's start to the first emission.
        first_text: the text of the first emission.
        is_retracted: whether that revision is a retraction.
        user_text: the text that a user gave the sentence, shown in place of the segment's; None for none.
    """

    segment: Segment
    text_since: int
    unchanged_since: int
    revision: int = 0
    emitted_segment: Segment | None = None
    previous_speaker_key: str | None = None
    stable: bool = False
    first_emitted: float = 0.0
    first_text: str = ""
    is_retracted: bool = False
    user_text: str | None = None

    @property
    def is_emitted(self) -> bool:
        """Whether the current text was emitted, with the current speaker."""
        same = self.emitted_segment is None or (
            has_same_text(self.emitted_segment, self.segment)
            if self.user_text is None
            else self.emitted_segment.language == self.segment.language
        )
        return self.revision > 0 and self.is_shown and same

    @property
    def is_shown(self) -> bool:
        """Whether the last emitted revision stands, with the current speaker."""
        return self.previous_speaker_key is None and not self.is_retracted

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to emit, and the sentence is stable."""
        # All sentences are asked at each update, and a call of `is_shown` would double the cost.
        is_shown = self.previous_speaker_key is None and not self.is_retracted
        return self.stable and self.emitted_segment is None and is_shown

    def with_segment(self, segment: Segment, at: int) -> SentenceState:
        """Return the sentence with a new segment, as of the time `at` (ms)."""
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

    @property
    def shown_text(self) -> str:
        """The text of the last emitted revision."""
        return (self.emitted_segment or self.segment).text if self.user_text is None else self.user_text

    def with_correction(self, correction: SentenceCorrected) -> SentenceState:
        """Return the sentence with a correction of the last emitted revision: the next one if the text is another one."""
        source_text = (self.emitted_segment or self.segment).text
        corrected = self._replace(user_text=to_user_text(source_text, correction))
        if corrected.shown_text == self.shown_text:
            return corrected
        return corrected._replace(revision=self.revision + 1, stable=False)

    def to_sentence(self, speaker_key: str) -> Sentence:
        """Return the last emitted revision."""
        speaker, speaker_id = split_speaker_key(speaker_key)
        segment = self.emitted_segment or self.segment
        return Sentence(
            id=self.segment.id,
            revision=self.revision,
            speaker=speaker,
            speaker_id=speaker_id,
            text=self.shown_text,
            start=segment.start,
            end=segment.end,
            boundary=segment.boundary,
            language=segment.language,
            first_emitted=self.first_emitted,
            first_text=self.first_text,
            original_text=None if self.user_text is None else segment.text,
            corrected=self.user_text is not None,
        )


def has_same_text(a: Segment, b: Segment) -> bool:
    """Return whether two segments have the same text and language, so that they share a translation."""
    return a.text == b.text and a.language == b.language


def _is_same_segment(a: Segment, b: Segment) -> bool:
    return has_same_text(a, b) and (a.start, a.end, a.boundary) == (b.start, b.end, b.boundary)


@dataclass(frozen=True, slots=True)
class StreamTime:
    """The time of an update.

    Attributes:
        at: milliseconds since the Unix epoch.
        stream_s: the same time in stream seconds from the meeting's start.
        speech_watermark: the latest speech time so far, seconds from the meeting's start.
        meeting_ended: whether the meeting ends with this update.
    """

    at: int
    stream_s: float
    speech_watermark: float
    meeting_ended: bool


def emit_if_due(sentence: SentenceState, followed: bool, now: StreamTime) -> SentenceState:
    """Emit a sentence if it is due: a new revision if its text changed, otherwise a correction of its times or boundary.

    Args:
        sentence: the sentence.
        followed: whether the speaker has begun the next sentence.
        now: the time of the update.

    Returns:
        The emitted sentence; the same object if nothing was emitted.
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
        return sentence._replace(
            revision=sentence.revision + 1,
            emitted_segment=None,
            previous_speaker_key=None,
            is_retracted=False,
            stable=False,
        )
    return sentence._replace(revision=1, first_emitted=now.stream_s, first_text=sentence.segment.text)


def _starts_differently(sentence: SentenceState) -> bool:
    """Return whether the text begins differently than the emitted one: earlier sentences merged, so its words are others."""
    if sentence.emitted_segment is None:
        return False
    before, after = normalized_letters(sentence.emitted_segment.text)[:4], normalized_letters(sentence.segment.text)[:4]
    return not before.startswith(after) and not after.startswith(before)


def is_stable(sentence: SentenceState, now: StreamTime) -> bool:
    """Return whether the emitted revision becomes stable now, so that it can be translated. True once for each revision."""
    if sentence.stable or not sentence.is_emitted:
        return False
    if sentence.user_text is not None:
        return True  # The source can't change it.
    wait_ms = STABLE_AFTER_MS
    if sentence.segment.boundary is SentenceBoundary.OPEN:
        wait_ms = OPEN_STABLE_AFTER_MS if sentence.segment.uses_punctuation else OPEN_QUIET_MS
    return now.meeting_ended or now.at - sentence.text_since >= wait_ms
