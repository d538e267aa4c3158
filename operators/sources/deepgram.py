"""Deepgram: results of a live transcription stream, and turns of a Flux stream.

Finality: a result with `is_final` doesn't change any more. An utterance is all of these up to `speech_final`; the sentences
join them. A result without it is the channel's speech in progress. A turn of Flux is final with `EndOfTurn`; its other events
repeat the turn in progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from operators.entries import Chunk
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
from operators.sources.speech import (
    Identifier,
    OptionalLanguage,
    SourceText,
    SpeechPart,
    SpeechState,
    Word,
    group_words,
    step_final,
    step_interim,
)
from operators.sources.times import SourceTime

SOURCE = "deepgram"
_FLUX_SPEAKER = "0"


class _Word(SourceMessage):
    word: SourceText
    punctuated_word: SourceText | None = None
    start: SourceTime
    end: SourceTime
    speaker: Identifier | None = None
    language: OptionalLanguage = None


class _Alternative(SourceMessage):
    transcript: SourceText
    words: list[_Word] = []  # noqa: RUF012 - pydantic copies it
    languages: list[OptionalLanguage] = []  # noqa: RUF012 - pydantic copies it


class _Channel(SourceMessage):
    alternatives: Annotated[list[_Alternative], Field(min_length=1)]
    detected_language: OptionalLanguage = None


class _Metadata(SourceMessage):
    request_id: Identifier


class _Results(SourceMessage):
    channel: _Channel
    channel_index: Annotated[list[Annotated[int, Field(ge=0, lt=1_000)]], Field(max_length=2)] = [0, 1]  # noqa: RUF012 - pydantic copies it
    start: SourceTime
    duration: SourceTime = 0.0
    is_final: bool = False
    metadata: _Metadata | None = None


class _TurnWord(SourceMessage):
    """A word of a turn. Older streams give no times of words."""

    start: SourceTime | None = None
    end: SourceTime | None = None


class _Turn(SourceMessage):
    request_id: Identifier = ""
    event: str
    transcript: SourceText = ""
    words: list[_TurnWord] = []  # noqa: RUF012 - pydantic copies it
    languages: list[OptionalLanguage] = []  # noqa: RUF012 - pydantic copies it
    audio_window_start: SourceTime
    audio_window_end: SourceTime


def _step(state: SpeechState, message: Mapping[str, Any], context: AdapterContext) -> tuple[SpeechState, list[Chunk]]:
    if message.get("type") == "TurnInfo":
        return _step_turn(state, parse_message(_Turn, message), context)
    if message.get("type") != "Results":
        return state, []
    results = parse_message(_Results, message)
    alternative = results.channel.alternatives[0]
    channel, channel_count = [*results.channel_index, 0, 1][:2]
    end = results.start + max(0.0, results.duration)

    def speaker_id(word: _Word | None) -> str:
        number = "0" if word is None or word.speaker is None else word.speaker
        return f"{channel}-{number}" if channel_count > 1 else number

    if any(word.speaker is not None for word in alternative.words):
        words = alternative.words
        parts = group_words(
            Word(word.punctuated_word or word.word, word.start, word.end, speaker_id(word)) for word in words
        )
    elif alternative.transcript.strip():
        words = alternative.words
        first, last = (words[0].start, words[-1].end) if words else (results.start, end)
        parts = [SpeechPart(alternative.transcript.strip(), first, last, speaker_id(None))]
    else:
        parts = []
    language = next(
        (language for language in (*alternative.languages, results.channel.detected_language) if language), None
    )
    stream = results.metadata.request_id if results.metadata else ""
    key = f"{stream}:{channel}"
    if results.is_final:
        return step_final(
            state, key, parts, context, source=SOURCE, stream=stream, span=(results.start, end), language=language
        )
    return step_interim(state, key, parts, context, source=SOURCE, stream=stream, language=language)


def _step_turn(state: SpeechState, turn: _Turn, context: AdapterContext) -> tuple[SpeechState, list[Chunk]]:
    """Apply an event of a Flux turn. Flux has one channel and doesn't tell speakers apart."""
    text = turn.transcript.strip()
    starts = [word.start for word in turn.words if word.start is not None]
    ends = [word.end for word in turn.words if word.end is not None]
    start, end = min(starts, default=turn.audio_window_start), max(ends, default=turn.audio_window_end)
    pieces = [SpeechPart(text, start, end, _FLUX_SPEAKER)] if text else []
    language = next((language for language in turn.languages if language), None)
    stream = turn.request_id
    if turn.event == "EndOfTurn":
        span = turn.audio_window_start, turn.audio_window_end
        return step_final(state, stream, pieces, context, source=SOURCE, stream=stream, span=span, language=language)
    return step_interim(state, stream, pieces, context, source=SOURCE, stream=stream, language=language)


ADAPTER = SourceAdapter(name=SOURCE, title="Deepgram", initial_state=SpeechState(), step=_step)
"""The adapter of Deepgram. Its messages name no meeting."""
