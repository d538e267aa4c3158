"""Segments of speech in a file, and their conversion to events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.fields import MAX_NAME_CHARS, normalize_language_tag, to_invalid_input_error
from operators.subtitles import Attribution
from operators.transcripts.parsed_transcript import ParsedTranscript, RecordedEvent, TranscriptFormat, TranscriptIssue


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """One speaker's text with its times, as a file has it.

    Attributes:
        place: its place in the file, such as `line 3` or `sentences.3`.
        speaker: the speaker's name.
        text: the transcript text.
        start: seconds from the meeting's start.
        end: seconds from the meeting's start.
        speaker_id: distinguishes speakers with the same name.
        language: the language tag in the file, if any.
    """

    place: str
    speaker: str
    text: str
    start: float
    end: float
    speaker_id: str | None = None
    language: str | None = None


def build_transcript(
    transcript_format: TranscriptFormat,
    segments: Iterable[TranscriptSegment],
    issues: Iterable[TranscriptIssue],
    *,
    attribution: Attribution = Attribution.NAMED,
    times_estimated: bool = False,
    began_at_ms: int | None = None,
    unit: str = "entry",
) -> ParsedTranscript:
    """Convert segments to events in the order of their starts. Segments that can't be chunks become issues.

    Args:
        transcript_format: the file's format.
        segments: the segments, in the file's order.
        issues: the issues so far.
        attribution, times_estimated, began_at_ms: as in `ParsedTranscript`.
        unit: the format's word for a segment, in messages.
    """
    events, more_issues = _build_events(sorted(segments, key=lambda segment: segment.start), unit)
    all_issues = tuple(sorted((*issues, *more_issues), key=_position))
    return ParsedTranscript(transcript_format, tuple(events), all_issues, attribution, times_estimated, began_at_ms)


def entry_issue(path: str, error: ValidationError) -> TranscriptIssue:
    """Make the issue of an entry of a JSON document that is left out.

    Args:
        path: the entry's path in the document.
        error: the entry's first problem names the field.
    """
    invalid = to_invalid_input_error(error)
    place = f"{path}.{invalid.field}" if invalid.field else path
    return TranscriptIssue(place, f"the entry is left out: {invalid.fix}")


def _build_events(
    segments: Sequence[TranscriptSegment], unit: str
) -> tuple[list[RecordedEvent], list[TranscriptIssue]]:
    """Convert segments to events, and return the issues as well.

    A segment arrives when it and all segments before it have ended. Overlapping segments thus arrive in reading order, and
    none is late.
    """
    events: list[RecordedEvent] = []
    issues: list[TranscriptIssue] = []
    at = 0.0
    for number, segment in enumerate(segments, 1):
        language, speaker_id = segment.language, segment.speaker_id
        if language is not None:
            try:
                language = normalize_language_tag(language)
            except ValueError:
                issues.append(
                    TranscriptIssue(
                        segment.place, "its language is ignored: it is not a language tag", lost_speech=False
                    )
                )
                language = None
        try:
            chunk = Chunk(
                chunk_id=str(number),
                speaker=segment.speaker[:MAX_NAME_CHARS],
                speaker_id=None if speaker_id is None else speaker_id[:MAX_NAME_CHARS],
                text=segment.text,
                start=segment.start,
                end=segment.end,
                language=language,
                source="import",
            )
        except ValidationError as error:
            issues.append(_segment_issue(segment.place, unit, to_invalid_input_error(error)))
            continue
        at = max(at, chunk.end)
        events.append(RecordedEvent(at, chunk))
    return events, issues


def _segment_issue(place: str, unit: str, invalid: InvalidInputError) -> TranscriptIssue:
    return TranscriptIssue(place, f"the {unit} is left out: its {invalid.field} {invalid.fix}")


def _position(issue: TranscriptIssue) -> list[int]:
    """Return a sort key for the file's order: the numbers of a place."""
    return [int(number) for number in re.findall(r"\d{1,18}", issue.place)]
