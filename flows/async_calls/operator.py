"""Asynchronous calls in a Bytewax dataflow: a stream never waits for a model, a service, a database.

After Flink's asynchronous I/O (Apache Flink, "Asynchronous I/O for External Data Access", FLIP-12): results of a key leave
in the order of its requests (or each as soon as it is there), bounds hold what waits and what is under way, each request
has a deadline over all its attempts. Added to that: keys take turns, so that a busy one never starves the others; a newer
request for the same thing replaces one that still waits; a full operator makes its source wait, or gives a request up at once.

Every request gives exactly one `Outcome`, and the flow ends only when all have left. A complete flow:

>>> import asyncio
>>> import bytewax.operators as op
>>> from bytewax.dataflow import Dataflow
>>> from bytewax.testing import TestingSink, TestingSource, run_main
>>> from flows.async_calls.operator import CallPolicy, Calls, call
>>>
>>> async def shout(request):
...     speaker, words = request
...     await asyncio.sleep(0.05 if words == "well" else 0)
...     return words.upper()
>>>
>>> policy = CallPolicy(
...     key=lambda request: request[0],
...     in_flight=100,
...     in_flight_per_key=4,
...     capacity=1000,
...     deadline=10.0,
...     on_full="reject",
...     retryable=lambda error: isinstance(error, ConnectionError),
... )
>>> calls = Calls(shout, policy)
>>> flow = Dataflow("shouting")
>>> said = op.input("said", flow, TestingSource([("ann", "well"), ("bob", "yes"), ("ann", "hm")]))
>>> answers = call("shout", flow, op.key_on("by_speaker", said, policy.key), calls)
>>> answered = []
>>> op.output("out", answers, TestingSink(answered))
>>> try:
...     run_main(flow)
... finally:
...     calls.close()
>>> {speaker: [outcome.result for key, outcome in answered if key == speaker] for speaker in ("ann", "bob")}
{'ann': ['WELL', 'HM'], 'bob': ['YES']}

No key polls: a second input of the flow yields what has ended. Nothing is kept for Bytewax's recovery: after a crash, what
had no outcome is for the source to give again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from flows.async_calls.executor import CallExecutor, CallPolicy, CallResult, PendingCall

__all__ = ["CallExecutor", "CallPolicy", "CallResult", "call"]

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Completion:
    """Says to a key that one of its requests ended."""

    number: int


class _Logic(StatefulBatchLogic["Q | _Completion", CallResult[Q, R], None], Generic[Q, R]):
    """The requests of one key, in order."""

    def __init__(self, calls: CallExecutor[Q, R], over: Callable[[], bool]) -> None:
        self._executor, self._is_finished = calls, over
        self._pending: OrderedDict[int, PendingCall[Q, R]] = OrderedDict()
        self._newest: dict[Hashable, PendingCall[Q, R]] = {}
        """The newest request about each thing."""

    def on_batch(self, values: list[Q | _Completion]) -> tuple[Iterable[CallResult[Q, R]], bool]:
        out: list[CallResult[Q, R]] = []
        for value in values:
            if not isinstance(value, _Completion):
                self._submit(value, out)
            elif self._executor.policy.order == "unordered" and value.number in self._pending:
                self._release(self._pending[value.number], out)
        while self._executor.policy.order == "ordered" and self._pending:
            first = next(iter(self._pending.values()))
            if first.outcome is None:
                break
            self._release(first, out)
        return out, not self._pending

    def _submit(self, request: Q, out: list[CallResult[Q, R]]) -> None:
        same = self._executor.policy.dedupe_key
        older = self._newest.get(same(request)) if same else None
        # First: the newer one may need the place of the older.
        if older is not None and self._executor.supersede(older):
            self._release(older, out)
        slot = self._executor.submit(request)
        if slot is None:
            out.append(CallResult(request, None, 0, "capacity"))
            return
        self._pending[slot.number] = slot
        if same:
            self._newest[same(request)] = slot

    def _release(self, slot: PendingCall[Q, R], out: list[CallResult[Q, R]]) -> None:
        assert slot.outcome is not None  # noqa: S101 - for the type checker
        out.append(slot.outcome)
        del self._pending[slot.number]
        same = self._executor.policy.dedupe_key
        if same and self._newest.get(same(slot.request)) is slot:
            del self._newest[same(slot.request)]
        self._executor.release(slot)

    def on_eof(self) -> tuple[Iterable[CallResult[Q, R]], bool]:
        # Mostly nothing is left here but what the end of the flow gave up. A request can come in at the very end, though,
        # when what watches the calls has ended: nothing else is left to do in this flow, so it is waited for.
        while not self._is_finished() and any(slot.outcome is None for slot in self._pending.values()):
            self._executor.raise_if_broken()
            time.sleep(0.01)
        out: list[CallResult[Q, R]] = []
        for slot in list(self._pending.values()):
            self._executor.abandon(slot)
            self._release(slot, out)
        return out, True

    def on_notify(self) -> tuple[Iterable[CallResult[Q, R]], bool]:
        return (), False

    def notify_at(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


class _CompletionPartition(StatelessSourcePartition[tuple[str, _Completion]]):
    def __init__(self, calls: CallExecutor[object, object], over: Callable[[], bool], no_more: threading.Event) -> None:
        self._executor, self._is_finished, self._input_ended = calls, over, no_more

    def next_batch(self) -> list[tuple[str, _Completion]]:
        # Asked first: a call that ends in between is still handed on by the next batch.
        over = self._is_finished() or (self._input_ended.is_set() and self._executor.outstanding == 0)
        ended = self._executor.take_completed()
        if over and not ended:
            raise StopIteration
        return [(slot.key, _Completion(slot.number)) for slot in ended]

    def next_awake(self) -> datetime | None:
        # Bytewax then looks every millisecond. Its worker wakes up as often whatever is said here, so less saves nothing.
        return None


class _CompletionSource(DynamicSource[tuple[str, _Completion]]):
    def __init__(self, calls: CallExecutor[object, object], over: Callable[[], bool], no_more: threading.Event) -> None:
        self._partition = (calls, over, no_more)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _CompletionPartition:
        return _CompletionPartition(*self._partition)


class _InputEndedPartition(StatelessSinkPartition[object]):
    def __init__(self, no_more: threading.Event) -> None:
        self._input_ended = no_more

    def write_batch(self, items: list[object]) -> None:
        """Only the end matters here."""

    def close(self) -> None:
        self._input_ended.set()


class _InputEndedSink(DynamicSink[object]):
    """Sets an event at the end of a stream: Bytewax tells that to sinks, even to one that never got an item."""

    def __init__(self, no_more: threading.Event) -> None:
        self._input_ended = no_more

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _InputEndedPartition:
        return _InputEndedPartition(self._input_ended)


def call(
    step_id: str,
    flow: Dataflow,
    up: KeyedStream[Q],
    executor: CallExecutor[Q, R],
    is_finished: Callable[[], bool] = lambda: False,
) -> KeyedStream[CallResult[Q, R]]:
    """Make an asynchronous call for each request.

    The step ends when its input has ended and all outcomes have left, or when `over` says so: what is left then leaves as
    `stopped`, and `Calls.close` cancels it.

    Args:
        step_id: name of the step.
        flow: the dataflow.
        up: requests, keyed as `calls.policy.key` says.
        calls: makes them, for this step alone. Close it when the flow has ended.
        over: true once no more calls are worth waiting for. It ends a flow that is stopped; its input must end, too.

    Returns:
        One outcome for each request, keyed alike.
    """
    input_ended = threading.Event()
    op.output(f"{step_id}_end", up, _InputEndedSink(input_ended))
    ended = op.input(f"{step_id}_ended", flow, _CompletionSource(executor, is_finished, input_ended))  # pyright: ignore[reportArgumentType]
    merged = op.merge(f"{step_id}_merge", up, ended)
    return op.stateful_batch(step_id, merged, lambda _: _Logic(executor, is_finished))  # pyright: ignore[reportArgumentType, reportReturnType]
