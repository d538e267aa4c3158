"""Speechmatics, and services with the same partial and final transcripts.

Finality: `AddTranscript` is final. `AddPartialTranscript` is all speech of its channel that has no final yet.

Speakers: `S1`, `S2` and so on are labels, and `UU` is unknown. Any other speaker is identified: the name of a known voice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from operators.entries import Chunk
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
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
from operators.sources.times import SourceTime

SOURCE = "speechmatics"
_UNKNOWN_SPEAKER = "UU"
"""Speechmatics' own id of a speaker who is not identified."""
_LABEL = re.compile(rf"S\d+|{_UNKNOWN_SPEAKER}")


class SpeechmaticsState(SpeechState):
    """The state of a session, with the id of the current stream; "" before its `RecognitionStarted`."""

    stream: str = ""


class _Started(SourceMessage):
    id: Identifier


class _Alternative(SourceMessage):
    content: SourceText
    speaker: Identifier | None = None
    language: OptionalLanguage = None


class _Result(SourceMessage):
    type: str = "word"
    start_time: SourceTime
    end_time: SourceTime
    alternatives: list[_Alternative] = []  # noqa: RUF012 - pydantic copies it
    attaches_to: str | None = None


class _Metadata(SourceMessage):
    start_time: SourceTime
    end_time: SourceTime


class _Transcript(SourceMessage):
    metadata: _Metadata
    results: list[_Result] = []  # noqa: RUF012 - pydantic copies it
    channel: Identifier | None = None


def _step(
    state: SpeechmaticsState, message: Mapping[str, Any], context: AdapterContext
) -> tuple[SpeechmaticsState, list[Chunk]]:
    kind = message.get("message")
    if kind == "RecognitionStarted":
        return state.model_copy(update={"stream": parse_message(_Started, message).id}), []
    if kind not in ("AddPartialTranscript", "AddTranscript"):
        return state, []
    transcript = parse_message(_Transcript, message)
    channel = transcript.channel or ""
    words: list[Word] = []
    names: dict[str, str] = {}
    language: str | None = None
    for result in transcript.results:
        if not result.alternatives:
            continue
        best = result.alternatives[0]
        language = language or best.language
        speaker = best.speaker or _UNKNOWN_SPEAKER
        speaker_id = f"{channel}-{speaker}" if channel else speaker
        attached = result.attaches_to in ("previous", "both")
        if attached and words:
            speaker_id = words[-1].speaker_id
        elif not _LABEL.fullmatch(speaker):
            names[speaker_id] = speaker
        words.append(Word(best.content, result.start_time, result.end_time, speaker_id, attached))
    parts = [part._replace(speaker=names.get(part.speaker_id)) for part in group_words(words)]
    key = f"{state.stream}:{channel}"
    if kind == "AddPartialTranscript":
        return step_interim(
            state,
            key,
            parts,
            context,
            source=SOURCE,
            stream=state.stream,
            language=language,
            names_stream=False,
        )
    span = transcript.metadata.start_time, transcript.metadata.end_time
    return step_final(
        state,
        key,
        parts,
        context,
        source=SOURCE,
        stream=state.stream,
        span=span,
        language=language,
        names_stream=False,
    )


ADAPTER = SourceAdapter(name=SOURCE, title="Speechmatics", initial_state=SpeechmaticsState(), step=_step)
"""The adapter of Speechmatics. Its messages name no meeting."""
