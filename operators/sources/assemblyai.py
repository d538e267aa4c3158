"""AssemblyAI: turns of a Universal-Streaming session (version 3).

Finality: a turn is final with `end_of_turn`, or with its formatted text if the session formats turns. Until then it grows.
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
    build_chunk_id,
    build_chunks,
    group_words,
)
from operators.sources.times import SourceTime
from operators.sources.utterances import InterimChunk, retract, to_interim_chunk

SOURCE = "assemblyai"
MAX_TURNS = 20
"""Most turns whose chunk ids are remembered. Only the last turns are revised."""
_NO_SPEAKERS = (None, "", "UNKNOWN", "PENDING")


class AssemblyAiState(SpeechState):
    """The state of a session.

    Attributes:
        stream: id of the current stream; "" before its `Begin`.
        last_final_turn: number of the stream's last final turn; -1 before the first.
        formats_turns: whether the stream sends a formatted text after the end of each turn.
        open_turn: the turn in progress.
        chunk_ids: the chunk ids of the stream's last turns by their number.
    """

    stream: str = ""
    last_final_turn: int = -1
    formats_turns: bool = False
    open_turn: InterimChunk | None = None
    chunk_ids: dict[int, str] = {}  # noqa: RUF012 - pydantic copies it


class _Begin(SourceMessage):
    id: Identifier


class _Word(SourceMessage):
    text: SourceText
    start: SourceTime
    end: SourceTime


class _Turn(SourceMessage):
    turn_order: Annotated[int, Field(ge=0, lt=2**53)]
    transcript: SourceText = ""
    words: list[_Word] = []  # noqa: RUF012 - pydantic copies it
    end_of_turn: bool = False
    turn_is_formatted: bool = False
    language_code: OptionalLanguage = None
    speaker_label: str | None = Field(default=None, max_length=100)


def _step(
    state: AssemblyAiState, message: Mapping[str, Any], context: AdapterContext
) -> tuple[AssemblyAiState, list[Chunk]]:
    if message.get("type") == "Begin":
        begin = parse_message(_Begin, message)
        if begin.id == state.stream:
            return state, []
        return state.model_copy(
            update={"stream": begin.id, "last_final_turn": -1, "formats_turns": False, "chunk_ids": {}}
        ), []
    if message.get("type") != "Turn":
        return state, []
    turn = parse_message(_Turn, message)
    # A formatted text ends its turn; what arrives after it for this turn or an earlier one is outdated.
    if turn.turn_order <= state.last_final_turn and not (turn.end_of_turn and turn.turn_is_formatted):
        return state, []
    speaker_id = "0" if turn.speaker_label in _NO_SPEAKERS else str(turn.speaker_label)
    words = [Word(word.text, word.start / 1000, word.end / 1000, speaker_id) for word in turn.words]
    # Until the end, `transcript` lacks the words that may still change.
    text = turn.transcript.strip() if turn.end_of_turn else "".join(part.text for part in group_words(words))
    known_id = state.chunk_ids.get(turn.turn_order)
    if not words or not text:
        # The turn was noise.
        if state.open_turn is None or state.open_turn.chunk_id != known_id:
            return state, []
        return state.model_copy(update={"open_turn": None}), [retract(state.open_turn)]
    formats_turns = state.formats_turns or turn.turn_is_formatted
    is_final = turn.end_of_turn and (turn.turn_is_formatted or not formats_turns)
    times, labels, chunks = build_chunks(
        state,
        [SpeechPart(text, words[0].start, max(word.end for word in words), speaker_id)],
        context,
        source=SOURCE,
        stream=state.stream,
        is_final=is_final,
        language=turn.language_code,
        chunk_id=known_id,
    )
    # Each stream counts its turns from 0, and a turn's first word may move. So the id has the start as it was first.
    chunk_id = known_id or build_chunk_id(SOURCE, context, f"turn-{turn.turn_order}", round(chunks[0].start * 1000))
    chunk = chunks[0].model_copy(update={"chunk_id": chunk_id})
    others = [(number, known) for number, known in state.chunk_ids.items() if number != turn.turn_order]
    update = {
        "chunk_ids": dict(others[1 - MAX_TURNS :]) | {turn.turn_order: chunk_id},
        "times": times,
        "labels": labels,
        "formats_turns": formats_turns,
        "open_turn": None if is_final else to_interim_chunk(chunk),
        "last_final_turn": max(state.last_final_turn, turn.turn_order) if is_final else state.last_final_turn,
    }
    return state.model_copy(update=update), [chunk]


ADAPTER = SourceAdapter(name=SOURCE, title="AssemblyAI", initial_state=AssemblyAiState(), step=_step)
"""The adapter of AssemblyAI. Its messages name no meeting."""
