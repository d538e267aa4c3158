"""WhisperLive: segments of a transcription session.

Finality: a segment with `completed` is final; without that field, all but the last are. Each message repeats the last
segments, so known ones are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from operators.entries import Chunk
from operators.fields import StrictModel
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
from operators.sources.speech import (
    Identifier,
    OptionalLanguage,
    SourceText,
    SpeechPart,
    SpeechState,
    build_chunks,
    step_final,
    step_interim,
)
from operators.sources.times import SourceTime

SOURCE = "whisperlive"
MAX_FINAL_SEGMENTS = 100
"""Most final segments of a session that are remembered. A message repeats about ten."""


class FinalSegment(StrictModel):
    """A final segment's chunk, and a digest of its text."""

    chunk_id: str
    digest: str


class WhisperLiveState(SpeechState):
    """The state of a session: its last final segments by client and start (ms), and its language."""

    final_segments: dict[str, FinalSegment] = {}  # noqa: RUF012 - pydantic copies it
    language: str | None = None


class _Segment(SourceMessage):
    start: SourceTime
    end: SourceTime
    text: SourceText
    completed: bool | None = None
    speaker: Identifier | None = None


class _Message(SourceMessage):
    uid: Identifier | None = None
    language: OptionalLanguage = None
    segments: list[_Segment] | None = None


def _step(
    state: WhisperLiveState, message: Mapping[str, Any], context: AdapterContext
) -> tuple[WhisperLiveState, list[Chunk]]:
    content = parse_message(_Message, message)
    if content.language is not None:
        state = state.model_copy(update={"language": content.language})
    if content.segments is None:
        return state, []
    stream = content.uid or ""
    chunks: list[Chunk] = []
    in_progress: list[SpeechPart] = []
    for index, segment in enumerate(content.segments):
        is_final = index < len(content.segments) - 1 if segment.completed is None else segment.completed
        text = segment.text.strip()
        part = SpeechPart(text, segment.start, segment.end, segment.speaker or "0")
        if is_final:
            state, changes = _apply_final(state, part, stream, context)
            chunks += changes
        elif text:
            in_progress.append(part)
    state, changes = step_interim(
        state, stream, in_progress, context, source=SOURCE, stream=stream, language=state.language
    )
    return state, chunks + changes


def _apply_final(
    state: WhisperLiveState, part: SpeechPart, stream: str, context: AdapterContext
) -> tuple[WhisperLiveState, list[Chunk]]:
    key = f"{stream}:{round(part.start * 1000)}"
    digest = blake2b(part.text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    known = state.final_segments.get(key)
    if known is not None and known.digest == digest:
        return state, []
    if known is not None:
        times, labels, changes = build_chunks(
            state,
            [part],
            context,
            source=SOURCE,
            stream=stream,
            is_final=True,
            language=state.language,
            chunk_id=known.chunk_id,
        )
        state = state.model_copy(update={"times": times, "labels": labels})
    else:
        state, changes = step_final(
            state,
            stream,
            [part] if part.text else [],
            context,
            source=SOURCE,
            stream=stream,
            span=(part.start, part.end),
            language=state.language,
        )
        if not part.text:
            return state, changes
    final = FinalSegment(chunk_id=changes[-1].chunk_id, digest=digest)
    others = [(other, segment) for other, segment in state.final_segments.items() if other != key]
    final_segments = dict(others[1 - MAX_FINAL_SEGMENTS :]) | {key: final}
    return state.model_copy(update={"final_segments": final_segments}), changes


ADAPTER = SourceAdapter(name=SOURCE, title="WhisperLive", initial_state=WhisperLiveState(), step=_step)
"""The adapter of WhisperLive. Its messages name no meeting."""
