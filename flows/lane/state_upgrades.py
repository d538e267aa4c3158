"""Upgrades of the operators' stored states: for each older schema, a function to the next schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_State = dict[str, Any]
_Upgrades = Mapping[int, Callable[[_State], _State]]


def _rename_fields(fields: _State, names: Mapping[str, str]) -> _State:
    return {names.get(name, name): value for name, value in fields.items()}


def _add_finals(state: _State) -> _State:
    """Count each open chunk as an interim: schema 1 did not tell finals from interims."""
    return {**state, "open": {chunk_id: [*chunk, False] for chunk_id, chunk in state["open"].items()}}


def _add_retracted_chunks(state: _State) -> _State:
    """Add no retracted chunks and no language. An open meeting gets its language with the next config."""
    return {**state, "taken_back": {}, "language": None}


def _keep(state: _State) -> _State:
    """Change nothing: schema 1 had only the last sentences. Those of each speaker gather as the meeting continues."""
    return state


def _rename_dedup(state: _State) -> _State:
    return _rename_fields(state, {"began": "began_at", "open": "open_chunks", "marks": "watermarks"})


def _rename_sentences(state: _State) -> _State:
    names = {
        "voices": "speakers",
        "gone": "detached",
        "reach": "speech_watermark",
        "taken_back": "retracted_chunks",
    }
    return _rename_fields(state, names)


def _rename_context(state: _State) -> _State:
    names = {"n": "chunk_ordinal", "k": "index_in_chunk"}
    return {"config": state["config"], "sentences": [_rename_fields(sentence, names) for sentence in state["held"]]}


def _move_retracted_chunks(state: _State) -> _State:
    """Give each retracted chunk its place among its speaker's chunks. Schema 3 had only the ordinals of these chunks.

    A chunk's speaker and time are those of its retracted sentence. Without one, the chunk returns as a new chunk would.
    """
    state = dict(state)
    retracted = {ordinal: chunk_id for chunk_id, ordinal in state.pop("retracted_chunks").items()}
    places = {sentence[0][0]: (key, sentence[0][3]) for key, sentence in state["detached"].values()}
    for ordinal, (key, start) in places.items():
        if ordinal in retracted and key in state["speakers"]:
            speaker = state["speakers"][key]
            chunk = [retracted[ordinal], ordinal, 0, "", start, start, None, 0, False]
            speaker[0] = sorted([*speaker[0], chunk], key=lambda chunk: (chunk[4], chunk[1]))
    for speaker in state["speakers"].values():
        speaker[2] = [_split_owner(sentence) for sentence in speaker[2]]
    state["detached"] = {
        sentence_id: [key, _split_owner(sentence)] for sentence_id, [key, sentence] in state["detached"].items()
    }
    return state


def _split_owner(sentence: list[Any]) -> list[Any]:
    """Tell a retracted sentence from one with another speaker: schema 3 had an empty speaker for the former."""
    owner = sentence[5]
    return [*sentence[:5], owner or None, *sentence[6:], owner == ""]


def _add_speaker_names(state: _State) -> _State:
    """Add no renamed speakers. A speaker with a label gets its name if the label is used again before."""
    return {**state, "renames": {}, "labels": {}}


def _add_speaker_ids(state: _State) -> _State:
    """Add no speaker ids: schema 3 did not have those of the context's sentences."""
    return {**state, "sentences": [{**sentence, "speaker_id": None} for sentence in state["sentences"]]}


def _add_corrections(state: _State) -> _State:
    """Correct no sentence: schema 4 did not have texts of users."""
    speakers = {
        key: [*speaker[:2], [[*sentence, None] for sentence in speaker[2]], *speaker[3:]]
        for key, speaker in state["speakers"].items()
    }
    detached = {sentence_id: [key, [*sentence, None]] for sentence_id, [key, sentence] in state["detached"].items()}
    return {**state, "speakers": speakers, "detached": detached}


DEDUP_UPGRADES: _Upgrades = {1: _add_finals, 2: _rename_dedup, 3: _add_speaker_names}
SENTENCES_UPGRADES: _Upgrades = {
    1: _add_retracted_chunks,
    2: _rename_sentences,
    3: _move_retracted_chunks,
    4: _add_corrections,
}
CONTEXT_UPGRADES: _Upgrades = {1: _keep, 2: _rename_context, 3: _add_speaker_ids}
