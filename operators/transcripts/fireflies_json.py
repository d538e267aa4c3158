"""Transcripts of Fireflies as JSON: the answer of its GraphQL interface, or the file that its page offers.

Times are seconds, as numbers or text, or clock times such as `00:07`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from operators.fields import drop_null_fields
from operators.sources.fireflies import meeting_start_ms
from operators.speaker_numbering import SpeakerNumbering
from operators.transcripts.estimated_times import parse_clock_time
from operators.transcripts.json_document import EntryList
from operators.transcripts.parsed_transcript import ParsedTranscript, TranscriptFormat, TranscriptIssue
from operators.transcripts.segments import TranscriptSegment, build_transcript, entry_issue

_TEXT_KEYS = ("text", "sentence", "raw_text")


def _to_seconds(value: Any) -> Any:
    seconds = parse_clock_time(value) if isinstance(value, str) and ":" in value else None
    return value if seconds is None else seconds


_Seconds = Annotated[float, BeforeValidator(_to_seconds)]


class _Sentence(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    text: str = Field(validation_alias=AliasChoices(*_TEXT_KEYS))
    start_time: _Seconds = Field(validation_alias=AliasChoices("start_time", "startTime"))
    end_time: _Seconds = Field(validation_alias=AliasChoices("end_time", "endTime"))
    speaker_name: str | None = Field(default=None, validation_alias=AliasChoices("speaker_name", "speaker"))
    speaker_id: str | None = None

    _drop_nulls = model_validator(mode="before")(drop_null_fields)


def is_fireflies(entry: dict[str, Any]) -> bool:
    """Return whether an entry of a JSON document is a sentence of Fireflies."""
    return any(key in entry for key in _TEXT_KEYS) and ("start_time" in entry or "startTime" in entry)


def parse_fireflies(document: EntryList) -> ParsedTranscript:
    """Parse a transcript of Fireflies. An invalid sentence is left out."""
    segments: list[TranscriptSegment] = []
    issues: list[TranscriptIssue] = []
    numbering = SpeakerNumbering()
    for index, raw in enumerate(document.entries):
        path = document.path_of(index)
        try:
            sentence = _Sentence.model_validate(raw)
        except ValidationError as error:
            issues.append(entry_issue(path, error))
            continue
        name = numbering.name_or_label(sentence.speaker_name, sentence.speaker_id)
        segments.append(
            TranscriptSegment(
                path, name, sentence.text, sentence.start_time, sentence.end_time, sentence.speaker_id or None
            )
        )
    return build_transcript(
        TranscriptFormat.FIREFLIES, segments, issues, began_at_ms=meeting_start_ms(document.owner.get("date"))
    )
