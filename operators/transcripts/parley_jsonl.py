"""Parley's own JSONL: files of events with their times of arrival, and exports of meetings.

- An event file has one event a line, `{"at": seconds, "payload": {…}}`. The payload is a chunk, with Parley's names of its fields
  or with those of a Fireflies broadcast: `speaker_name`, `start_time`, `end_time`. `speaker_id`, `is_final` and `language` are
  optional.
- An export has one sentence a line: `id`, `speaker`, `text`, `start`, `end` and more. Its captions are not read.

Parley wrote these files, so an invalid line means that the file is damaged. The file is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.fields import to_invalid_input_error
from operators.transcripts.json_document import load_json
from operators.transcripts.parsed_transcript import ParsedTranscript, RecordedEvent, TranscriptFormat
from operators.transcripts.segments import TranscriptSegment, build_transcript

_EXPORT_KEYS = frozenset({"id", "speaker", "text", "start", "end", "boundary"})


class _RecordedChunk(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    chunk_id: str
    text: str
    speaker: str = Field(validation_alias=AliasChoices("speaker_name", "speaker"))
    speaker_id: str | None = None
    start: float = Field(validation_alias=AliasChoices("start_time", "start"))
    end: float = Field(validation_alias=AliasChoices("end_time", "end"))
    is_final: bool | None = None
    language: str | None = None


class _RecordedLine(BaseModel):
    model_config = ConfigDict(extra="ignore")

    at: float
    payload: _RecordedChunk


class _ExportedSentence(BaseModel):
    model_config = ConfigDict(extra="ignore")

    speaker: str
    speaker_id: str | None = None
    text: str
    start: float
    end: float
    language: str | None = None


def is_export(first_line: dict[str, Any]) -> bool:
    """Return whether the first line of a JSONL file is a sentence of an export."""
    return first_line.keys() >= _EXPORT_KEYS


def parse_event_file(text: str, name: str) -> ParsedTranscript:
    """Parse a file of events.

    Args:
        text: the file's content.
        name: the file's name, for errors.

    Raises:
        InvalidInputError: the file has no event, or an invalid one. The error names line and field.
    """
    events = tuple(_parse_event(location, row) for location, row in _read_lines(text, name))
    if not events:
        raise InvalidInputError(name, "holds no event, cue or line of speech")
    if any(b.at < a.at for a, b in pairwise(events)):
        raise InvalidInputError(f"{name}: at", "must not decrease: sort the lines by it")
    return ParsedTranscript(TranscriptFormat.PARLEY_EVENTS, events)


def parse_export(text: str, name: str) -> ParsedTranscript:
    """Parse an export of a meeting; arguments and errors as for `parse_event_file`."""
    segments: list[TranscriptSegment] = []
    for location, row in _read_lines(text, name):
        try:
            sentence = _ExportedSentence.model_validate(row)
        except ValidationError as error:
            raise _invalid_line(location, error) from error
        segments.append(
            TranscriptSegment(
                f"line {location.rpartition(':')[2]}",
                sentence.speaker,
                sentence.text,
                sentence.start,
                sentence.end,
                sentence.speaker_id,
                sentence.language,
            )
        )
    transcript = build_transcript(TranscriptFormat.PARLEY_EXPORT, segments, (), unit="sentence")
    transcript.require_complete(name)
    return transcript


def _read_lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{name}:{number}", load_json(line, name, line=number)


def _parse_event(location: str, row: Any) -> RecordedEvent:
    try:
        recorded_line = _RecordedLine.model_validate(row)
        chunk = Chunk.model_validate(recorded_line.payload.model_dump() | {"source": "replay"})
    except ValidationError as error:
        raise _invalid_line(location, error) from error
    return RecordedEvent(recorded_line.at, chunk)


def _invalid_line(location: str, error: ValidationError) -> InvalidInputError:
    invalid = to_invalid_input_error(error)
    return InvalidInputError(f"{location}: {invalid.field}" if invalid.field else location, invalid.fix)
