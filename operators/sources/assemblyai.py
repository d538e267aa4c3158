"""AssemblyAI: turns of a Universal-Streaming session (version 3).

Finality: a turn is final with `end_of_turn`, or with its formatted text if the session formats turns. Until then it grows.

Speakers: each final word names its speaker. `speaker_label` is only the one who says most of the turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from operators.entries import Chunk
from operators.sources.adapter import AdapterContext, SourceAdapter, SourceMessage, parse_message
from operators.sources.speech import (
    Identifier,
    OptionalLanguage,
    SourceText,
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
"""Most turns whose chunks are remembered. Only the last turns are revised."""
MAX_TURN_CHUNKS = 20
"""Most chunks of a turn that are remembered. A turn has more than one if its speaker changes."""
_NO_SPEAKERS = (None, "", "UNKNOWN", "PENDING")
_UNKNOWN_SPEAKER = "0"


class AssemblyAiState(SpeechState):
    """The state of a session.

    Attributes:
        stream: id of the current stream; "" before its `Begin`.
        last_final_turn: number of the stream's last final turn; -1 before the first.
        formats_turns: whether the stream sends a formatted text after the end of each turn.
        last_speaker: the speaker of the stream's last word that names one; None before the first.
        turns: the chunks of the stream's last turns by their number.
    """

    stream: str = ""
    last_final_turn: int = -1
    formats_turns: bool = False
    last_speaker: str | None = None
    turns: dict[int, tuple[InterimChunk, ...]] = {}  # noqa: RUF012 - pydantic copies it


class _Begin(SourceMessage):
    id: Identifier


class _Word(SourceMessage):
    text: SourceText
    start: SourceTime
    end: SourceTime
    speaker: Identifier | None = None


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
        update = {
            "stream": begin.id,
            "last_final_turn": -1,
            "formats_turns": False,
            "last_speaker": None,
            "turns": {},
        }
        return state.model_copy(update=update), []
    if message.get("type") != "Turn":
        return state, []
    turn = parse_message(_Turn, message)
    # A formatted text ends its turn; what arrives after it for this turn or an earlier one is outdated.
    if turn.turn_order <= state.last_final_turn and not (turn.end_of_turn and turn.turn_is_formatted):
        return state, []
    speakers = _read_speakers(turn, state.last_speaker)
    parts = group_words(
        Word(word.text, word.start / 1000, word.end / 1000, speaker)
        for word, speaker in zip(turn.words, speakers, strict=True)
    )
    if turn.end_of_turn and len(parts) <= 1:
        # Until the end, `transcript` lacks the words that may still change.
        text = turn.transcript.strip()
        parts = [part._replace(text=text) for part in parts if text]
    others = {number: known for number, known in state.turns.items() if number != turn.turn_order}
    known = state.turns.get(turn.turn_order, ())
    if not parts:
        # The turn was noise.
        is_open = turn.turn_order > state.last_final_turn
        return (state.model_copy(update={"turns": others}), [*map(retract, known)]) if is_open else (state, [])
    formats_turns = state.formats_turns or turn.turn_is_formatted
    is_final = turn.end_of_turn and (turn.turn_is_formatted or not formats_turns)
    times, labels, chunks = build_chunks(
        state, parts, context, source=SOURCE, stream=state.stream, is_final=is_final, language=turn.language_code
    )
    chunks = [
        chunk.model_copy(update={"chunk_id": _find_chunk_id(known, place, turn.turn_order, chunk, context)})
        for place, chunk in enumerate(chunks)
    ]
    gone = [retract(chunk).model_copy(update={"is_final": is_final}) for chunk in known[len(chunks) :]]
    remembered = tuple(to_interim_chunk(chunk) for chunk in chunks[:MAX_TURN_CHUNKS])
    update = {
        "turns": dict(list(others.items())[1 - MAX_TURNS :]) | {turn.turn_order: remembered},
        "times": times,
        # Before its end a turn may lack a speaker who is named later, and who then gets the number.
        "labels": labels if turn.end_of_turn or _UNKNOWN_SPEAKER not in speakers else state.labels,
        "formats_turns": formats_turns,
        "last_final_turn": max(state.last_final_turn, turn.turn_order) if is_final else state.last_final_turn,
        "last_speaker": speakers[-1] if speakers[-1] != _UNKNOWN_SPEAKER else state.last_speaker,
    }
    return state.model_copy(update=update), [*chunks, *gone]


def _read_speakers(turn: _Turn, last_speaker: str | None) -> list[str]:
    """Return the speaker of each word. A word without one has that of the word before, then of the turn.

    Args:
        turn: the turn.
        last_speaker: the speaker before the turn, who has its words until it names its own; None if there is none.
    """
    named = [None if word.speaker in _NO_SPEAKERS else word.speaker for word in turn.words]
    first = next((speaker for speaker in named if speaker is not None), None)
    if first is None and turn.speaker_label not in _NO_SPEAKERS:
        first = turn.speaker_label
    if first is None and not turn.end_of_turn:
        first = last_speaker
    speakers: list[str] = []
    current = first or _UNKNOWN_SPEAKER
    for speaker in named:
        current = speaker or current
        speakers.append(current)
    return speakers


def _find_chunk_id(
    known: Sequence[InterimChunk], place: int, turn_order: int, chunk: Chunk, context: AdapterContext
) -> str:
    """Return the id of a turn's chunk at a place.

    Each stream counts its turns from 0, and a turn's first word may move. So the id has the start as it was first.
    """
    if place < len(known):
        return known[place].chunk_id
    name = f"turn-{turn_order}-{place}" if place else f"turn-{turn_order}"
    return build_chunk_id(SOURCE, context, name, round(chunk.start * 1000))


ADAPTER = SourceAdapter(name=SOURCE, title="AssemblyAI", initial_state=AssemblyAiState(), step=_step)
"""The adapter of AssemblyAI. Its messages name no meeting."""
