"""The interface of a source adapter: a pure fold from a source's messages to chunks.

An adapter keeps its state between messages. So it can match a final text to its interims, and name unknown speakers.
Speech times of chunks are seconds from the meeting's start, whatever the source sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from operators.entries import Chunk, SpeakerRenamed
from operators.fields import EpochMs, Name, SpeakerLabel, StrictModel, drop_null_fields, to_invalid_input_error


class AdapterContext(StrictModel):
    """The facts about a message that the message itself lacks.

    Attributes:
        session: name of the connection or bot that sends the messages. Each session has its own state.
        began_at_ms: when the meeting began (ms since the Unix epoch); None if unknown.
        received_at_ms: when the message arrived (ms since the Unix epoch); None if unknown.
        speaker: name of the session's speakers where the source doesn't know it; None if the caller doesn't either.
    """

    session: Name = "default"
    began_at_ms: EpochMs | None = None
    received_at_ms: EpochMs | None = None
    speaker: SpeakerLabel | None = None


class SourceMessage(BaseModel):
    """Base class of the models of sources' messages.

    Sources add fields at any time, so unknown fields are allowed. They also send null for a field that they lack.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    _drop_nulls = model_validator(mode="before")(drop_null_fields)


MessageT = TypeVar("MessageT", bound=SourceMessage)
StateT = TypeVar("StateT", bound=StrictModel)


@dataclass(frozen=True, slots=True)
class SourceAdapter(Generic[StateT]):
    """An adapter of one source.

    Attributes:
        name: the source's name, as in `Chunk.source` and in addresses (`recall`).
        title: the source's name for people (`Recall.ai`).
        initial_state: the state of a new session. A state is a small frozen model that is stored as JSON.
        step: `step(state, message, context)` returns the next state and the message's chunks. A message without
            transcript has no chunks. It raises InvalidInputError if a field of the message is invalid.
        find_renames: `find_renames(state, message, context)` returns the renames of speakers who had only a label. A message
            without transcript brings their names. It is called before `step`, and raises the same error.
        read_meeting_id: returns the source's own id of the message's meeting, or None.
        read_delivery_id: returns the source's own id of the message, or None. A repeated delivery has the same id.
        is_end: returns whether a message ends the meeting.
    """

    name: str
    title: str
    initial_state: StateT
    step: Callable[[StateT, Mapping[str, Any], AdapterContext], tuple[StateT, list[Chunk]]]
    find_renames: Callable[[StateT, Mapping[str, Any], AdapterContext], list[SpeakerRenamed]] = (
        lambda state, message, context: []
    )
    read_meeting_id: Callable[[Mapping[str, Any]], str | None] = lambda message: None
    read_delivery_id: Callable[[Mapping[str, Any]], str | None] = lambda message: None
    is_end: Callable[[Mapping[str, Any]], bool] = lambda message: False


def parse_message(model: type[MessageT], message: Any) -> MessageT:
    """Parse a source's message, or a part of it.

    Args:
        model: the message's model.
        message: the decoded JSON.

    Raises:
        InvalidInputError: a field is missing or invalid. The error has no value, because it may be transcript text.
    """
    try:
        return model.model_validate(message)
    except ValidationError as error:
        raise to_invalid_input_error(error) from None


def build_chunk(**fields: Any) -> Chunk:
    """Build a chunk from a source's values.

    Args:
        fields: the chunk's fields.

    Raises:
        InvalidInputError: a value is too long or can't be stored.
    """
    try:
        return Chunk(**fields)
    except ValidationError as error:
        raise to_invalid_input_error(error) from None


def restore_state(adapter: SourceAdapter[StateT], stored: str | bytes | None) -> StateT:
    """Restore a session's state from JSON. A state that is missing or can't be read is replaced by the initial state.

    Args:
        adapter: the source's adapter.
        stored: the stored JSON, or None.
    """
    if stored is None:
        return adapter.initial_state
    try:
        return type(adapter.initial_state).model_validate_json(stored)
    except ValidationError:
        return adapter.initial_state
