"""Parses Fireflies' transcripts of meetings that are over: the title, the time, the sentences, and what is kept beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from operators.characters import is_blank
from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.fields import MAX_TITLE_CHARS
from operators.json_values import JsonObject
from operators.sources.adapter import SourceMessage, parse_message
from operators.sources.fireflies import meeting_start_ms, require_object, sentence_to_chunk
from operators.speaker_numbering import SpeakerNumbering

MAX_METADATA_TEXT_CHARS = 100_000
"""Maximum length of a text of the metadata, such as a summary. Longer texts are cut."""
_METADATA_FIELDS = (
    "duration",
    "host_email",
    "organizer_email",
    "participants",
    "transcript_url",
    "audio_url",
    "video_url",
    "meeting_link",
    "summary",
    "meeting_attendees",
    "meeting_attendance",
    "analytics",
)
"""Fields that are kept with a meeting as Fireflies sends them."""
_JSON_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(JsonObject)


class _Transcript(SourceMessage):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str = Field(min_length=1)
    title: str | None = None
    date: Any = None
    is_live: bool | None = None
    sentences: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class FirefliesTranscript:
    """A transcript.

    Attributes:
        id: Fireflies' id of the meeting.
        title: the meeting's title; empty if it has none.
        began_at_ms: when the meeting began (ms since the Unix epoch); None if unknown.
        is_live: whether the meeting still runs, so that the transcript grows.
        chunks: the sentences, by their start. Sentences without text are left out.
        invalid_count: number of sentences that can't be read.
        metadata: summary, attendees, attendance, analytics and links, as JSON.
    """

    id: str
    title: str
    began_at_ms: int | None
    is_live: bool
    chunks: tuple[Chunk, ...]
    invalid_count: int
    metadata: Mapping[str, Any]


def parse_transcript(content: Mapping[str, Any]) -> FirefliesTranscript:
    """Parse a transcript as GraphQL returns it. A sentence that can't be read is left out and counted.

    Raises:
        InvalidInputError: the transcript itself is invalid.
    """
    transcript = parse_message(_Transcript, content)
    chunks: dict[str, Chunk] = {}
    invalid_count, numbering = 0, SpeakerNumbering()
    for sentence in transcript.sentences or []:
        try:
            chunk = sentence_to_chunk(require_object(sentence), numbering)
        except InvalidInputError:
            invalid_count += 1
            continue
        if not is_blank(chunk.text):
            # Two sentences of a speaker may have the same start.
            chunk_id = chunk.chunk_id
            if chunk_id in chunks:
                chunk_id = f"{chunk_id[:180]} {len(chunks)}"
            chunks[chunk_id] = chunk.model_copy(update={"chunk_id": chunk_id})
    return FirefliesTranscript(
        id=transcript.id,
        title=_clean_text(transcript.title or "")[:MAX_TITLE_CHARS],
        began_at_ms=meeting_start_ms(transcript.date),
        is_live=bool(transcript.is_live),
        chunks=tuple(sorted(chunks.values(), key=lambda chunk: (chunk.start, chunk.end))),
        invalid_count=invalid_count,
        metadata=_read_metadata(content),
    )


def _read_metadata(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields to keep. A field that can't be stored is left out."""
    metadata: dict[str, Any] = {}
    for name in _METADATA_FIELDS:
        if content.get(name) not in (None, [], {}):
            _add_storable(metadata, name, content[name])
    sentences = content.get("sentences")
    notes = [_sentence_note(item) for item in cast("list[Any]", sentences)] if isinstance(sentences, list) else []
    if notes := [note for note in notes if note is not None]:
        _add_storable(metadata, "sentence_filters", notes)
    return metadata


def _add_storable(metadata: dict[str, Any], name: str, value: Any) -> None:
    try:
        metadata |= _JSON_OBJECT.validate_python({name: _clean_value(value)})
    except (ValidationError, RecursionError):
        return


def _sentence_note(sentence: Any) -> dict[str, Any] | None:
    """Return what Fireflies found in a sentence, such as a task or a question; None if it found nothing."""
    if not isinstance(sentence, Mapping):
        return None
    fields = cast("Mapping[str, Any]", sentence)
    filters = fields.get("ai_filters")
    if not isinstance(filters, Mapping):
        return None
    # The cleaned text is no finding.
    found = {
        name: value
        for name, value in cast("Mapping[str, Any]", filters).items()
        if value is not None and name != "text_cleanup"
    }
    return {"start": fields.get("start_time"), **found} if found else None


def _clean_value(value: Any) -> Any:
    """Return a JSON value whose texts can be stored."""
    match value:
        case str():
            return _clean_text(value)[:MAX_METADATA_TEXT_CHARS]
        case dict():
            return {
                _clean_text(str(name)): _clean_value(inner) for name, inner in cast("dict[Any, Any]", value).items()
            }
        case list():
            return [_clean_value(inner) for inner in cast("list[Any]", value)]
        case _:
            return value


def _clean_text(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
