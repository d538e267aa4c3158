"""Recall.ai: real-time events of a bot, by webhook or WebSocket.

Finality: `transcript.data` is final. `transcript.partial_data` is the participant's utterance in progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from operators.entries import Chunk, SpeakerRenamed
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
from operators.sources.speaker_labels import find_rename, record_name
from operators.sources.speech import (
    Identifier,
    OptionalLanguage,
    SourceText,
    SpeechState,
    Word,
    group_words,
    step_final,
    step_interim,
)
from operators.sources.times import SourceTime, anchor_stream

SOURCE = "recall"
_UNKNOWN_PARTICIPANT = "unknown"
"""Speaker id of speech before the bot knows who speaks."""
_PARTICIPANT_EVENTS = ("participant_events.join", "participant_events.update")
_END_EVENTS = ("bot.done", "bot.fatal")


class _Timestamp(SourceMessage):
    relative: SourceTime
    absolute: SourceTime | None = None


class _EventTimestamp(SourceMessage):
    """When a participant event happened. Before the recording there is no relative time."""

    relative: SourceTime | None = None
    absolute: SourceTime | None = None


class _Word(SourceMessage):
    text: SourceText
    start_timestamp: _Timestamp
    end_timestamp: _Timestamp | None = None


class _Participant(SourceMessage):
    id: Identifier | None = None
    name: str | None = None


class _Utterance(SourceMessage):
    words: list[_Word]
    participant: _Participant = _Participant()
    language_code: OptionalLanguage = None


class _Reference(SourceMessage):
    id: Identifier


class _TranscriptData(SourceMessage):
    data: _Utterance
    recording: _Reference | None = None


class _Transcript(SourceMessage):
    data: _TranscriptData


class _ParticipantData(SourceMessage):
    participant: _Participant = _Participant()
    timestamp: _EventTimestamp = _EventTimestamp()


class _ParticipantEventData(SourceMessage):
    data: _ParticipantData
    recording: _Reference | None = None


class _ParticipantEvent(SourceMessage):
    data: _ParticipantEventData


class _BotData(SourceMessage):
    bot: _Reference


class _BotEvent(SourceMessage):
    data: _BotData


def _step(state: SpeechState, message: Mapping[str, Any], context: AdapterContext) -> tuple[SpeechState, list[Chunk]]:
    event = message.get("event")
    if event in _PARTICIPANT_EVENTS:
        return _apply_participant_event(state, parse_message(_ParticipantEvent, message).data, context), []
    if event not in ("transcript.data", "transcript.partial_data"):
        return state, []
    transcript = parse_message(_Transcript, message).data
    utterance = transcript.data
    speaker_id = utterance.participant.id or _UNKNOWN_PARTICIPANT
    words = [
        Word(
            word.text,
            word.start_timestamp.relative,
            (word.end_timestamp or word.start_timestamp).relative,
            speaker_id,
        )
        for word in utterance.words
    ]
    parts = [part._replace(speaker=utterance.participant.name) for part in group_words(words)]
    stream = transcript.recording.id if transcript.recording else ""
    if utterance.words:
        first = utterance.words[0].start_timestamp
        times = anchor_stream(state.times, stream, first.relative, first.absolute, context)
        state = state.model_copy(update={"times": times})
    if event == "transcript.partial_data":
        return step_interim(
            state, speaker_id, parts, context, source=SOURCE, stream=stream, language=utterance.language_code
        )
    if not words:
        return state, []
    return step_final(
        state,
        speaker_id,
        parts,
        context,
        source=SOURCE,
        stream=stream,
        span=(words[0].start, max(word.end for word in words)),
        language=utterance.language_code,
    )


def _apply_participant_event(state: SpeechState, event: _ParticipantEventData, context: AdapterContext) -> SpeechState:
    """Record a participant's name, and where the recording lies: transcripts may arrive minutes after their speech."""
    participant, timestamp = event.data.participant, event.data.timestamp
    labels, times = state.labels, state.times
    if participant.id is not None:
        labels = record_name(labels, participant.id, participant.name)
    if timestamp.relative is not None:
        stream = event.recording.id if event.recording else ""
        times = anchor_stream(times, stream, timestamp.relative, timestamp.absolute, context)
    return state.model_copy(update={"labels": labels, "times": times})


def _find_renames(state: SpeechState, message: Mapping[str, Any], context: AdapterContext) -> list[SpeakerRenamed]:
    if message.get("event") not in _PARTICIPANT_EVENTS:
        return []
    participant = parse_message(_ParticipantEvent, message).data.data.participant
    return [] if participant.id is None else find_rename(state.labels, participant.id, participant.name, context)


def _read_meeting_id(message: Mapping[str, Any]) -> str | None:
    try:
        return _BotEvent.model_validate(message).data.bot.id
    except ValidationError:
        return None


ADAPTER = SourceAdapter(
    name=SOURCE,
    title="Recall.ai",
    initial_state=SpeechState(),
    step=_step,
    find_renames=_find_renames,
    read_meeting_id=_read_meeting_id,
    is_end=lambda message: message.get("event") in _END_EVENTS,
)
"""The adapter of Recall.ai. Its own id of a meeting is the bot's id."""
