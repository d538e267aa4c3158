"""Vexa: live transcript messages of a bot, as its WebSocket sends them.

Finality: `confirmed` segments and those of `transcript.finalized` are final, and so is a segment with `completed`. `pending`
segments are all drafts of their speaker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import AliasChoices, Field

from operators.characters import is_blank
from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
from operators.sources.speech import (
    Identifier,
    OptionalLanguage,
    SourceText,
    SpeechPart,
    SpeechState,
    build_chunk_id,
    build_chunks,
    read_identifier,
)
from operators.sources.times import SourceTime, anchor_stream
from operators.sources.utterances import InterimChunk, retract, to_interim_chunk

SOURCE = "vexa"
MAX_DRAFTS = 50
"""Most drafts of a session that are remembered."""
MAX_FINAL_IDS = 200
"""Most ids of final segments that are remembered."""
_FINALIZED = "transcript.finalized"
_SEGMENT = "transcription_segment"
_TRANSCRIPT_TYPES = ("transcript", "transcript.mutable", "transcript.initial", _FINALIZED)
_UNKNOWN_SPEAKER = "unknown"
_STATUS_TYPES = ("meeting.status", "bot_status")
_END_STATUSES = ("completed", "failed")


class VexaState(SpeechState):
    """The state of a session: its drafts by chunk id, and the chunk ids of its last final segments."""

    drafts: dict[str, InterimChunk] = {}  # noqa: RUF012 - pydantic copies it
    final_ids: tuple[str, ...] = ()


class _Segment(SourceMessage):
    segment_id: Identifier | None = None
    speaker: str | None = None
    text: SourceText
    start: SourceTime | None = Field(default=None, validation_alias=AliasChoices("start", "start_time"))
    end: SourceTime | None = Field(default=None, validation_alias=AliasChoices("end", "end_time"))
    absolute_start_time: SourceTime | None = None
    absolute_end_time: SourceTime | None = None
    language: OptionalLanguage = None
    completed: bool | None = None
    session_uid: Identifier | None = None


class _Segments(SourceMessage):
    segments: list[_Segment] = []  # noqa: RUF012 - pydantic copies it


class _Transcript(_Segments):
    session_uid: Identifier | None = None
    speaker: str | None = None
    confirmed: list[_Segment] = []  # noqa: RUF012 - pydantic copies it
    pending: list[_Segment] | None = None
    segment: _Segment | None = None
    payload: _Segments | None = None


def _step(state: VexaState, message: Mapping[str, Any], context: AdapterContext) -> tuple[VexaState, list[Chunk]]:
    kind = message.get("type")
    if kind == _SEGMENT:
        transcript = _Transcript(segment=parse_message(_Segment, message))
    elif kind in _TRANSCRIPT_TYPES or "segments" in message:
        transcript = parse_message(_Transcript, message)
    else:
        return state, []
    chunks: list[Chunk] = []
    seen_ids: set[str] = set()
    others = [*([transcript.segment] if transcript.segment else ()), *transcript.segments]
    others += transcript.payload.segments if transcript.payload else ()
    segments = [(segment, True) for segment in transcript.confirmed]
    segments += [(segment, segment.completed is True) for segment in transcript.pending or ()]
    segments += [(segment, segment.completed is True or kind == _FINALIZED) for segment in others]
    for segment, is_final in segments:
        state, chunk = _apply_segment(state, segment, transcript, is_final, context)
        if chunk is not None:
            chunks.append(chunk)
            seen_ids.add(chunk.chunk_id)
    if transcript.pending is None:
        return state, chunks
    speakers = {_speaker_id(segment.speaker or transcript.speaker) for segment, _ in segments}
    if transcript.speaker:
        speakers.add(_speaker_id(transcript.speaker))
    gone = {
        chunk_id: draft
        for chunk_id, draft in state.drafts.items()
        if chunk_id not in seen_ids and _without_session(draft.speaker_id, context) in speakers
    }
    drafts = {chunk_id: draft for chunk_id, draft in state.drafts.items() if chunk_id not in gone}
    return state.model_copy(update={"drafts": drafts}), [*map(retract, gone.values()), *chunks]


def _apply_segment(
    state: VexaState, segment: _Segment, transcript: _Transcript, is_final: bool, context: AdapterContext
) -> tuple[VexaState, Chunk | None]:
    """Apply a segment. A draft of a segment that is final already is ignored."""
    start = segment.start if segment.start is not None else segment.absolute_start_time
    if start is None:
        raise InvalidInputError("start", "must be present, or `absolute_start_time`")
    end = segment.end if segment.start is not None else segment.absolute_end_time
    text = segment.text.strip()
    stream = segment.session_uid or transcript.session_uid or _read_session(segment.segment_id)
    own_id = (segment.segment_id,) if segment.segment_id else (stream, round(start * 1000))
    chunk_id = build_chunk_id(SOURCE, context, *own_id)
    if not is_final and chunk_id in state.final_ids:
        return state, None
    if not text and chunk_id not in state.drafts:
        return state, None
    times = anchor_stream(state.times, stream, start, segment.absolute_start_time, context)
    state = state.model_copy(update={"times": times})
    name = segment.speaker or transcript.speaker
    part = SpeechPart(text, start, start if end is None else end, _speaker_id(name), name)
    times, labels, (chunk,) = build_chunks(
        state,
        [part],
        context,
        source=SOURCE,
        stream=stream,
        is_final=is_final,
        language=segment.language,
        chunk_id=chunk_id,
    )
    drafts = {known: draft for known, draft in state.drafts.items() if known != chunk_id}
    final_ids = state.final_ids
    if is_final:
        final_ids = (*(known for known in final_ids[-MAX_FINAL_IDS:] if known != chunk_id), chunk_id)
    elif text:
        drafts = dict(list(drafts.items())[1 - MAX_DRAFTS :]) | {chunk_id: to_interim_chunk(chunk)}
    update = {"times": times, "labels": labels, "drafts": drafts, "final_ids": final_ids}
    return state.model_copy(update=update), chunk


def _read_session(segment_id: str | None) -> str:
    """Return the bot's session that a segment's id names (`SESSION:SPEAKER:MILLISECONDS`); "" if it names none."""
    session, *rest = (segment_id or "").rsplit(":", 2)
    return session if len(rest) == 2 else ""


def _speaker_id(name: str | None) -> str:
    """Return the id of a speaker. Vexa has no ids but the names."""
    return _UNKNOWN_SPEAKER if name is None or is_blank(name) else name


def _without_session(speaker_id: str | None, context: AdapterContext) -> str:
    return (speaker_id or "").removeprefix("" if context.session == "default" else f"{context.session}/")


def _read_meeting_id(message: Mapping[str, Any]) -> str | None:
    """Read `meeting.id`, `meeting` or `meeting_id`. A meeting by platform and link has no id of its own."""
    meeting = message.get("meeting")
    own_id = cast("Mapping[str, Any]", meeting).get("id") if isinstance(meeting, Mapping) else meeting
    return read_identifier(own_id) or read_identifier(message.get("meeting_id"))


def _is_end(message: Mapping[str, Any]) -> bool:
    payload = message.get("payload")
    status = cast("Mapping[str, Any]", payload).get("status") if isinstance(payload, Mapping) else message.get("status")
    return message.get("type") in _STATUS_TYPES and status in _END_STATUSES


ADAPTER = SourceAdapter(
    name=SOURCE,
    title="Vexa",
    initial_state=VexaState(),
    step=_step,
    read_meeting_id=_read_meeting_id,
    is_end=_is_end,
)
"""The adapter of Vexa. Its own id of a meeting is `meeting.id` or `meeting_id`."""
