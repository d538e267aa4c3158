"""Transcript downloads of Recall.ai: a list of utterances with their words, in the present form or in the older one.

- `{participant: {id, name}, words: [{text, start_timestamp: {relative, absolute}, end_timestamp: {relative} | null}]}`
- `{speaker, speaker_id, words: [{text, start_timestamp, end_timestamp}]}`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Annotated, Any, cast

from pydantic import AliasPath, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from operators.fields import MAX_INSTANT_MS
from operators.sentences.boundaries import join_text
from operators.speaker_numbering import SpeakerNumbering
from operators.transcripts.json_document import EntryList
from operators.transcripts.parsed_transcript import ParsedTranscript, TranscriptFormat, TranscriptIssue
from operators.transcripts.segments import TranscriptSegment, build_transcript, entry_issue

MAX_SEGMENT_CHARS = 500
"""Length from which a long utterance is divided between words, so that its sentences get exact times."""


def _relative_time(value: Any) -> Any:
    return cast("dict[str, Any]", value).get("relative") if isinstance(value, dict) else value


class _Word(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str
    start_timestamp: Annotated[float, BeforeValidator(_relative_time)]
    end_timestamp: Annotated[float | None, BeforeValidator(_relative_time)] = None
    absolute_start: AwareDatetime | None = Field(
        default=None, validation_alias=AliasPath("start_timestamp", "absolute")
    )

    @property
    def end(self) -> float:
        return self.start_timestamp if self.end_timestamp is None else self.end_timestamp


class _Participant(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str | None = None
    name: str | None = None


class _Utterance(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    words: list[_Word]
    participant: _Participant | None = None
    speaker: str | None = None
    speaker_id: str | None = None
    language_code: str | None = None
    language: str | None = None


def is_recall(entry: dict[str, Any]) -> bool:
    """Return whether an entry of a JSON document is an utterance of Recall.ai."""
    return isinstance(entry.get("words"), list)


def parse_recall(document: EntryList) -> ParsedTranscript:
    """Parse a transcript download. An invalid utterance is left out."""
    segments: list[TranscriptSegment] = []
    issues: list[TranscriptIssue] = []
    numbering = SpeakerNumbering()
    began_at_ms: int | None = None
    for index, raw in enumerate(document.entries):
        path = document.path_of(index)
        try:
            utterance = _Utterance.model_validate(raw)
        except ValidationError as error:
            issues.append(entry_issue(path, error))
            continue
        if utterance.words and began_at_ms is None:
            began_at_ms = _meeting_start_ms(utterance.words[0])
        participant = utterance.participant or _Participant(id=utterance.speaker_id, name=utterance.speaker)
        name = numbering.name_or_label(participant.name, participant.id)
        for words in _divide(utterance.words):
            segments.append(
                TranscriptSegment(
                    path,
                    name,
                    reduce(join_text, (word.text for word in words)),
                    words[0].start_timestamp,
                    max(word.end for word in words),
                    participant.id or None,
                    utterance.language_code or utterance.language or None,
                )
            )
    return build_transcript(TranscriptFormat.RECALL, segments, issues, began_at_ms=began_at_ms)


def _divide(words: Sequence[_Word]) -> Iterator[list[_Word]]:
    """Divide an utterance into parts of limited length."""
    part: list[_Word] = []
    length = 0
    for word in words:
        if not word.text.strip():
            continue
        if part and length + len(word.text) > MAX_SEGMENT_CHARS:
            yield part
            part, length = [], 0
        part.append(word)
        length += len(word.text) + 1
    if part:
        yield part


def _meeting_start_ms(word: _Word) -> int | None:
    """Return the meeting's start (ms), by a word with both of its times; None if the word lacks one."""
    if word.absolute_start is None or not 0 <= word.start_timestamp <= MAX_INSTANT_MS:
        return None
    start = round((word.absolute_start.timestamp() - word.start_timestamp) * 1000)
    return start if 0 <= start <= MAX_INSTANT_MS else None
