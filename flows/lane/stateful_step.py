"""Runs a pure operator as a step of the dataflow. Each envelope carries the operator's state after its item."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any, Generic, Literal, TypeVar, cast

import bytewax.operators as op
import structlog
from bytewax.operators import KeyedStream, StatefulBatchLogic
from pydantic import TypeAdapter, ValidationError

from flows.lane.envelope import Envelope, Failed, Restored
from operators.entries import Chunk, Entry, MeetingMoved, Tick
from operators.errors import IncompatibleStateError
from storage.batch_commit.batch_changes import DeadLetter
from storage.observability.process_metrics import LatencyMetric, ProcessMetrics

S = TypeVar("S")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StatefulStep(Generic[S]):
    """A pure operator, and how it reads and extends an envelope.

    Attributes:
        name: the name of the step and of its state.
        schema: the version of the state's JSON.
        state: the type of the state.
        initial: a meeting's state before its first item.
        apply: `(state, envelope) -> (next state, the operator's result)`.
        result: the envelope's field for the result.
        upgrades: for each older schema, a function from its JSON to that of the next schema.
        is_new: whether states that the release before stored lack this step. It begins with its initial state then.
    """

    name: LatencyMetric
    schema: int
    state: type[S]
    initial: Callable[[], S]
    apply: Callable[[S, Envelope], tuple[S, Any]]
    result: Literal["update", "sentences", "requests", "note_request"]
    upgrades: Mapping[int, Callable[[Any], Any]] = field(default_factory=dict[int, Callable[[Any], Any]])
    is_new: bool = False

    def run(self, state: S, envelope: Envelope) -> tuple[S, Envelope]:
        """Return the next state, and the envelope with the operator's result and that state."""
        state, result = self.apply(state, envelope)
        # An envelope is copied once a step, because each copy costs as much as a simple operator.
        return state, replace(envelope, **{self.result: result}, states={**envelope.states, self.name: state})

    def dump(self, state: object) -> dict[str, object]:
        """Return the state as JSON text, with its schema version.

        Postgres' jsonb would sort the keys, and their order matters.
        """
        return {"schema": self.schema, "state": _adapter(self.state).dump_json(state).decode()}

    def restore(self, states: Mapping[str, Any]) -> S:
        """Read this step's state from the stored states of a meeting.

        Raises:
            KeyError: the state is missing.
            IncompatibleStateError: as for `load`.
        """
        if self.is_new and self.name not in states:
            return self.initial()
        return self.load(states[self.name])

    def load(self, dumped: Mapping[str, Any]) -> S:
        """Read a stored state, upgrading one of an older schema.

        Raises:
            IncompatibleStateError: the schema is newer than this version, or too old, or the values don't fit it.
        """
        schema, state = dumped["schema"], dumped["state"]
        if isinstance(state, str):
            state = json.loads(state)
        while schema in self.upgrades and schema < self.schema:
            state = self.upgrades[schema](state)
            schema += 1
        if schema != self.schema:
            raise IncompatibleStateError(
                f"its state of {self.name} has schema {schema}; this version reads {self.schema}"
            )
        try:
            return _adapter(self.state).validate_python(state)
        except ValidationError as error:
            # The values hold transcript text: the message names only the field.
            field_path = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise IncompatibleStateError(
                f"its state of {self.name} is not one of schema {schema}: {field_path}"
            ) from None


@cache
def _adapter(state: type[S]) -> TypeAdapter[S]:
    """Cached: to build one takes milliseconds, and each commit of a meeting needs one for every step."""
    return TypeAdapter(state)


class _StepLogic(StatefulBatchLogic[Envelope, Envelope, None], Generic[S]):
    def __init__(self, stage: StatefulStep[S], metrics: ProcessMetrics) -> None:
        self._operator, self._metrics = stage, metrics
        self._state = self._initial = stage.initial()

    def on_batch(self, values: list[Envelope]) -> tuple[Iterable[Envelope], bool]:
        with self._metrics.measure(self._operator.name, steps=len(values)):
            return self._steps(values)

    def _steps(self, values: list[Envelope]) -> tuple[list[Envelope], bool]:
        out: list[Envelope] = []
        for envelope in values:
            item = envelope.item
            if item is None or envelope.dead_letter is not None:
                result = envelope
            elif isinstance(item, Restored):
                self._state = cast(S, item.states[self._operator.name])
                result = self._with_state(envelope)
            elif isinstance(item, Failed):
                result = envelope
            elif isinstance(item, Entry) and isinstance(item.payload, MeetingMoved):
                # Operators never see a move: their states are handed over as they are.
                result = self._with_state(envelope)
            else:
                result = self._step(envelope, item)
            out.append(result)
            if ends_meeting(result):
                self._state = self._operator.initial()
        # Bytewax drops a key without state: a meeting that is over, or of which no item could be processed.
        return out, self._state == self._initial

    def _step(self, envelope: Envelope, item: Entry | Tick) -> Envelope:
        try:
            self._state, envelope = self._operator.run(self._state, envelope)
        except Exception as error:  # noqa: BLE001 - one meeting's error must not stop the others: a dead letter keeps and counts it
            reason = f"{self._operator.name} failed: {type(error).__name__}"
            log.error("step failed", meeting=envelope.meeting_id, n=envelope.n, reason=reason)
            # A tick has no log id of its own: its meeting and time tell it from others at the same log id.
            letter_id = (
                envelope.log_id if isinstance(item, Entry) else f"{envelope.log_id} {envelope.meeting_id} {item.at}"
            )
            letter = DeadLetter(letter_id, reason, entry_fields(item), envelope.team_id, envelope.meeting_id)
            return replace(envelope, dead_letter=letter)
        return envelope

    def _with_state(self, envelope: Envelope) -> Envelope:
        return replace(envelope, states={**envelope.states, self._operator.name: self._state})

    def on_notify(self) -> tuple[Iterable[Envelope], bool]:
        return (), False

    def on_eof(self) -> tuple[Iterable[Envelope], bool]:
        return (), False

    def notify_at(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


def ends_meeting(envelope: Envelope) -> bool:
    """Whether this lane keeps no state of the meeting after this item: it ended, timed out, failed or moved."""
    item, update = envelope.item, envelope.update
    moved = isinstance(item, Entry) and isinstance(item.payload, MeetingMoved)
    return moved or isinstance(item, Failed) or (update is not None and update.meeting_ended)


def entry_fields(item: Entry | Tick) -> dict[str, str]:
    """Return the fields of an entry or tick that its dead letter keeps."""
    if isinstance(item, Tick):
        return {"kind": "tick", "at": str(item.at)}
    fields = {
        "n": str(item.n),
        "event_id": item.event_id,
        "kind": "chunk" if isinstance(item.payload, Chunk) else item.payload.kind,
        "arrived_at": str(item.arrived_at),
        "payload": item.payload.model_dump_json(),
    }
    return {**fields, "first": str(item.first_ordinal)} if item.first_ordinal else fields


def run_step(stage: StatefulStep[S], up: KeyedStream[Envelope], metrics: ProcessMetrics) -> KeyedStream[Envelope]:
    """Add a step to the dataflow.

    Args:
        stage: the step.
        up: envelopes keyed by meeting.
        metrics: records how long the step takes.

    Returns:
        The envelopes, in order, with the operator's state and result.
    """
    return op.stateful_batch(stage.name, up, lambda _: _StepLogic(stage, metrics))
