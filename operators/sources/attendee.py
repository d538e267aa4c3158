"""Attendee: webhooks of a bot.

Finality: each `transcript.update` is a final utterance. Attendee sends no interims.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.entries import Chunk, SpeakerRenamed
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
from operators.sources.speaker_labels import find_rename, record_name
from operators.sources.speech import Identifier, SourceText, SpeechPart, SpeechState, build_chunks, read_identifier
from operators.sources.times import SourceTime, is_epoch_ms

SOURCE = "attendee"
_PARTICIPANT_TRIGGER = "participant_events.join_leave"
_END_STATES = ("ended", "fatal_error", "data_deleted")


class _Transcription(SourceMessage):
    transcript: SourceText | None = None


class _Utterance(SourceMessage):
    speaker_name: str | None = None
    speaker_uuid: Identifier
    timestamp_ms: SourceTime
    duration_ms: SourceTime = 0.0
    transcription: _Transcription | None = None


class _TranscriptUpdate(SourceMessage):
    data: _Utterance


class _Participant(SourceMessage):
    participant_uuid: Identifier
    participant_name: str | None = None


class _ParticipantEvent(SourceMessage):
    data: _Participant


def _step(state: SpeechState, message: Mapping[str, Any], context: AdapterContext) -> tuple[SpeechState, list[Chunk]]:
    trigger = message.get("trigger")
    if trigger == _PARTICIPANT_TRIGGER:
        participant = parse_message(_ParticipantEvent, message).data
        labels = record_name(state.labels, participant.participant_uuid, participant.participant_name)
        return state.model_copy(update={"labels": labels}), []
    if trigger != "transcript.update":
        return state, []
    utterance = parse_message(_TranscriptUpdate, message).data
    text = utterance.transcription.transcript if utterance.transcription else None
    if not text or not text.strip():
        return state, []
    # Some platforms count from the start of the recording, others since the Unix epoch.
    unit = 1.0 if is_epoch_ms(utterance.timestamp_ms) else 1000.0
    start = utterance.timestamp_ms / unit
    end = (utterance.timestamp_ms + max(0.0, utterance.duration_ms)) / unit
    part = SpeechPart(text.strip(), start, end, utterance.speaker_uuid, utterance.speaker_name)
    times, labels, chunks = build_chunks(state, [part], context, source=SOURCE, stream="", is_final=True)
    return state.model_copy(update={"times": times, "labels": labels}), chunks


def _find_renames(state: SpeechState, message: Mapping[str, Any], context: AdapterContext) -> list[SpeakerRenamed]:
    if message.get("trigger") != _PARTICIPANT_TRIGGER:
        return []
    participant = parse_message(_ParticipantEvent, message).data
    return find_rename(state.labels, participant.participant_uuid, participant.participant_name, context)


def _is_end(message: Mapping[str, Any]) -> bool:
    data = message.get("data")
    return (
        message.get("trigger") == "bot.state_change"
        and isinstance(data, Mapping)
        and data.get("new_state") in _END_STATES
    )


ADAPTER = SourceAdapter(
    name=SOURCE,
    title="Attendee",
    initial_state=SpeechState(),
    step=_step,
    find_renames=_find_renames,
    read_meeting_id=lambda message: read_identifier(message.get("bot_id")),
    read_delivery_id=lambda message: read_identifier(message.get("idempotency_key")),
    is_end=_is_end,
)
"""The adapter of Attendee. Its own id of a meeting is the bot's id."""
