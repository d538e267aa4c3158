"""Adapter of Fireflies' real-time broadcasts, and of the sentences of its transcripts.

A broadcast is flat, or an envelope with the content in `payload` or `data`. A repeated chunk id is a revision. A broadcast
without an id belongs to the chunk with its speaker and start, because Fireflies never changes these. The id may be missing in
some broadcasts of a chunk only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, cast

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, field_validator

from operators.characters import is_blank, normalize_name
from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.fields import MAX_INSTANT_MS, MAX_NAME_CHARS, StrictModel
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, build_chunk, parse_message
from operators.sources.times import SourceTime, is_epoch_ms
from operators.speaker_numbering import SpeakerNumbering

BROADCAST_TYPES = ("transcription.broadcast", "transcript")
"""Types of the envelopes that carry transcript text."""
UNKNOWN_SPEAKER = "Unknown speaker"
"""Label of the live speech that Fireflies attributes to nobody."""
SENTENCE_ID_PREFIX = "sentence "
"""Beginning of the chunk ids of a transcript's sentences. A live chunk's id is a number, or begins with its start."""
MAX_RECENT_COUNT = 50
"""Number of chunks that a session remembers, to recognise their revisions."""
MAX_RECENT_CHARS = 500
"""Number of characters that a session remembers of a chunk without a start."""
MIN_SIMILARITY = 0.6
"""Minimum similarity of two texts, from 0 to 1, to be revisions of one chunk."""
_SOURCE_TIME: TypeAdapter[float] = TypeAdapter(SourceTime)


class _Broadcast(SourceMessage):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    chunk_id: str | None = Field(default=None, validation_alias=AliasChoices("chunk_id", "id"))
    text: str = Field(validation_alias=AliasChoices("text", "content"))
    speaker: str | None = Field(default=None, validation_alias=AliasChoices("speaker_name", "speaker"))
    start: float | None = Field(default=None, validation_alias=AliasChoices("start_time", "startTime", "start"))
    end: float | None = Field(default=None, validation_alias=AliasChoices("end_time", "endTime", "end"))

    @field_validator("chunk_id", "speaker")
    @classmethod
    def _drop_blank(cls, value: str | None) -> str | None:
        return None if value is None or is_blank(value) else normalize_name(value)


class _TranscriptSentence(SourceMessage):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    text: str
    start_time: float
    end_time: float
    speaker_name: str | None = None
    speaker_id: str | None = None


class RecentChunk(StrictModel):
    """A chunk as a session remembers it.

    Attributes:
        chunk_id: its id in the log.
        source_id: its id at Fireflies; None if no broadcast had it.
        speaker: the label of its speaker.
        start: its start, in seconds from the meeting's start.
        text: the beginning of its text if the broadcasts lack a start, and else empty.
    """

    chunk_id: str
    source_id: str | None = None
    speaker: str
    start: float
    text: str = ""


class FirefliesState(StrictModel):
    """The state of a session.

    Attributes:
        last_end: latest end of a chunk so far, in seconds from the meeting's start.
        unnamed_count: number of chunks that had neither id nor start.
        recent: the last chunks, the newest one last.
    """

    last_end: float = 0.0
    unnamed_count: int = 0
    recent: tuple[RecentChunk, ...] = ()


def step(
    state: FirefliesState, message: Mapping[str, Any], context: AdapterContext
) -> tuple[FirefliesState, list[Chunk]]:
    """Turn a broadcast into a chunk.

    Args:
        state: the session's state.
        message: a broadcast, flat or in an envelope.
        context: facts about the message.

    Returns:
        The next state, and the chunk. Messages of other types have none.

    Raises:
        InvalidInputError: a field of the broadcast is invalid.
    """
    content = _unwrap(message)
    if content is None:
        return state, []
    broadcast = parse_message(_Broadcast, content)
    speaker = broadcast.speaker or UNKNOWN_SPEAKER
    state, known = _find_chunk(state, broadcast, speaker)
    start = known.start
    chunk = build_chunk(
        chunk_id=known.chunk_id,
        speaker=speaker,
        text=broadcast.text,
        start=start,
        # A server's rounding may put the end before the start.
        end=start if broadcast.end is None else max(start, broadcast.end),
        source="fireflies",
    )
    return state.model_copy(update={"last_end": max(state.last_end, chunk.end)}), [chunk]


def require_object(message: Any) -> Mapping[str, Any]:
    """Return a message that is an object.

    Raises:
        InvalidInputError: it isn't.
    """
    if not isinstance(message, Mapping):
        raise InvalidInputError("message", "must be an object")
    return cast("Mapping[str, Any]", message)


def sentence_to_chunk(sentence: Mapping[str, Any], numbering: SpeakerNumbering | None = None) -> Chunk:
    """Turn a sentence of a transcript into a chunk.

    Args:
        sentence: a sentence as GraphQL returns it.
        numbering: labels the transcript's speakers without a name. If it is None, they have the label that they have live, where
            no speaker has an id.

    Raises:
        InvalidInputError: a field of the sentence is invalid.
    """
    parsed = parse_message(_TranscriptSentence, sentence)
    name = parsed.speaker_name
    if numbering is not None:
        speaker = numbering.name_or_label(name, parsed.speaker_id)
    else:
        speaker = UNKNOWN_SPEAKER if name is None or is_blank(name) else normalize_name(name)
    return build_chunk(
        # The index of a sentence changes while the meeting runs.
        chunk_id=f"{SENTENCE_ID_PREFIX}{parsed.start_time:.3f} {speaker}"[:MAX_NAME_CHARS],
        speaker=speaker,
        text=parsed.text,
        start=parsed.start_time,
        end=max(parsed.start_time, parsed.end_time),
        is_final=True,
        source="fireflies",
    )


def meeting_start_ms(date: Any) -> int | None:
    """Return a meeting's start (ms since the Unix epoch) from a transcript's `date`; None if that is no instant.

    Args:
        date: milliseconds since the Unix epoch, or a date in ISO 8601. Without a time zone it is in UTC.
    """
    try:
        instant = _SOURCE_TIME.validate_python(date)
    except ValueError:
        return None
    # An ISO 8601 date is converted to seconds.
    instant_ms = instant * 1000 if isinstance(date, str) and not is_epoch_ms(instant) else instant
    return round(instant_ms) if 0 < instant_ms <= MAX_INSTANT_MS else None


def _unwrap(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the content of a broadcast; None if the message is of another type."""
    if message.get("type") not in (None, *BROADCAST_TYPES):
        return None
    for name in ("payload", "data"):
        if isinstance(content := message.get(name), Mapping):
            return cast("Mapping[str, Any]", content)
    return message


def _find_chunk(state: FirefliesState, broadcast: _Broadcast, speaker: str) -> tuple[FirefliesState, RecentChunk]:
    """Find the chunk that a broadcast revises, or begin one. Without a start, it begins at the latest end so far."""
    source_id, start = broadcast.chunk_id, broadcast.start
    known = _find_recent(state.recent, broadcast, speaker)
    if known is not None:
        chunk = known.model_copy(
            update={
                "source_id": source_id or known.source_id,
                "speaker": speaker,
                "start": known.start if start is None else start,
            }
        )
    elif start is not None:
        chunk_id = source_id or f"{start:.3f} {speaker}"[:MAX_NAME_CHARS]
        chunk = RecentChunk(chunk_id=chunk_id, source_id=source_id, speaker=speaker, start=start)
    else:
        count = state.unnamed_count + (source_id is None)
        state = state.model_copy(update={"unnamed_count": count})
        chunk_id = source_id or f"unnamed-{count}"
        chunk = RecentChunk(chunk_id=chunk_id, source_id=source_id, speaker=speaker, start=state.last_end)
    if start is None:
        chunk = chunk.model_copy(update={"text": broadcast.text[:MAX_RECENT_CHARS]})
    others = [each for each in state.recent if each.chunk_id != chunk.chunk_id]
    return state.model_copy(update={"recent": (*others, chunk)[-MAX_RECENT_COUNT:]}), chunk


def _find_recent(recent: Sequence[RecentChunk], broadcast: _Broadcast, speaker: str) -> RecentChunk | None:
    """Return the chunk that a broadcast revises: by its id, by speaker and start, or by its text."""
    newest_first = recent[::-1]
    source_id, start = broadcast.chunk_id, broadcast.start
    if source_id is not None:
        for chunk in newest_first:
            if chunk.source_id == source_id:
                return chunk
        # An earlier broadcast of the chunk may have lacked the id.
        newest_first = [chunk for chunk in newest_first if chunk.source_id is None]
    if start is not None:
        # The speaker's name may come later.
        speakers = {speaker, UNKNOWN_SPEAKER}
        same_start = (chunk for chunk in newest_first if chunk.start == start)
        return next((chunk for chunk in same_start if speaker == UNKNOWN_SPEAKER or chunk.speaker in speakers), None)
    if source_id is None:
        return next((chunk for chunk in newest_first if _is_revised_by(chunk, broadcast.text, speaker)), None)
    return None


def _is_revised_by(chunk: RecentChunk, text: str, speaker: str) -> bool:
    if not chunk.text or chunk.speaker != speaker:
        return False
    words, new_words = chunk.text.casefold().split(), text[:MAX_RECENT_CHARS].casefold().split()
    # The last word of an interim text is often unfinished.
    complete_count = min(len(words), len(new_words)) - 1
    if complete_count > 0 and words[:complete_count] == new_words[:complete_count]:
        return True
    return SequenceMatcher(None, words, new_words, autojunk=False).ratio() >= MIN_SIMILARITY


FIREFLIES = SourceAdapter("fireflies", "Fireflies", FirefliesState(), step)
