"""Runs a pure operator as a step of the dataflow: its state lives with the meeting and rides along in each envelope."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

import bytewax.operators as op
import structlog
from bytewax.operators import KeyedStream, StatefulBatchLogic
from pydantic import TypeAdapter

from flows.envelope import Envelope, Restored
from operators.errors import SetupFailed
from operators.model import Chunk, Entry, Tick
from storage.changes import DeadLetter

S = TypeVar("S")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stage(Generic[S]):
    """A pure operator and how it meets the envelope.

    Attributes:
        name: of the step and of its state.
        schema: version of the state's JSON; a lane refuses a state of another one.
        state: the type of the state.
        initial: a meeting's state before its first item.
        apply: `(state, envelope) -> (state, envelope with what the operator put out)`.
    """

    name: str
    schema: int
    state: type[S]
    initial: Callable[[], S]
    apply: Callable[[S, Envelope], tuple[S, Envelope]]

    def dump(self, state: object) -> dict[str, object]:
        """The state as JSON values, with its schema version."""
        return {"schema": self.schema, "state": TypeAdapter(self.state).dump_python(state, mode="json")}  # pyright: ignore[reportArgumentType]

    def load(self, dumped: dict[str, object]) -> S:
        """Read a state back.

        Raises:
            SetupFailed: it was written by another version of the operator.
        """
        if dumped["schema"] != self.schema:
            raise SetupFailed(
                f"the state of {self.name} has schema {dumped['schema']}, this version of Parley reads {self.schema}:"
                " let the open meetings end with the version that wrote it"
            )
        return TypeAdapter(self.state).validate_python(dumped["state"])


class _Logic(StatefulBatchLogic[Envelope, Envelope, None], Generic[S]):
    def __init__(self, stage: Stage[S]) -> None:
        self._stage = stage
        self._state = stage.initial()

    def on_batch(self, values: list[Envelope]) -> tuple[Iterable[Envelope], bool]:
        out: list[Envelope] = []
        over = False
        for envelope in values:
            if envelope.item is None or envelope.dead is not None:
                stepped = envelope
            elif isinstance(envelope.item, Restored):
                self._state = self._stage.load(envelope.item.states[self._stage.name])
                stepped = replace(envelope, states={**envelope.states, self._stage.name: self._state})
            else:
                stepped = self._step(envelope, envelope.item)
            out.append(stepped)
            over = stepped.update is not None and stepped.update.ended
            if over:
                self._state = self._stage.initial()
        return out, over

    def _step(self, envelope: Envelope, item: Entry | Tick) -> Envelope:
        try:
            state, envelope = self._stage.apply(self._state, envelope)
        except Exception as error:  # noqa: BLE001 - one meeting's poison must not stop the others: it is kept and counted
            reason = f"{self._stage.name} failed: {type(error).__name__}"
            log.error("step failed", meeting=envelope.meeting_id, n=envelope.n, reason=reason)
            # A tick has no entry of its own: its meeting and time tell it from others at the same place of the log.
            place = envelope.log_id if isinstance(item, Entry) else f"{envelope.log_id} {envelope.meeting_id} {item.at}"
            letter = DeadLetter(place, reason, _fields(item), envelope.team_id, envelope.meeting_id)
            return replace(envelope, dead=letter)
        self._state = state
        return replace(envelope, states={**envelope.states, self._stage.name: state})

    def on_notify(self) -> tuple[Iterable[Envelope], bool]:
        return (), False

    def on_eof(self) -> tuple[Iterable[Envelope], bool]:
        return (), False

    def notify_at(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


def _fields(item: Entry | Tick) -> dict[str, str]:
    if isinstance(item, Tick):
        return {"kind": "tick", "at": str(item.at)}
    return {
        "n": str(item.n),
        "event_id": item.event_id,
        "kind": "chunk" if isinstance(item.payload, Chunk) else item.payload.kind,
        "arrived_at": str(item.arrived_at),
        "payload": item.payload.model_dump_json(),
    }


def run_stage(stage: Stage[S], up: KeyedStream[Envelope]) -> KeyedStream[Envelope]:
    """Add a stage to the dataflow.

    Args:
        stage: the operator.
        up: envelopes keyed by meeting.

    Returns:
        The envelopes, in order, with the operator's state and what it put out.
    """
    return op.stateful_batch(stage.name, up, lambda _: _Logic(stage))
