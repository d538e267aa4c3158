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
>>> from flows.calls import CallPolicy, Calls, call
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
...     when_full="owe",
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

from flows.calling import CallPolicy, Calls, Outcome, Slot

__all__ = ["CallPolicy", "Calls", "Outcome", "call"]

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Ended:
    """Says to a key that one of its requests ended."""

    number: int


class _Logic(StatefulBatchLogic["Q | _Ended", Outcome[Q, R], None], Generic[Q, R]):
    """The requests of one key, in order."""

    def __init__(self, calls: Calls[Q, R], over: Callable[[], bool]) -> None:
        self._calls, self._over = calls, over
        self._slots: OrderedDict[int, Slot[Q, R]] = OrderedDict()
        self._newest: dict[Hashable, Slot[Q, R]] = {}
        """The newest request about each thing."""

    def on_batch(self, values: list[Q | _Ended]) -> tuple[Iterable[Outcome[Q, R]], bool]:
        out: list[Outcome[Q, R]] = []
        for value in values:
            if not isinstance(value, _Ended):
                self._accept(value, out)
            elif self._calls.policy.order == "unordered" and value.number in self._slots:
                self._leave(self._slots[value.number], out)
        while self._calls.policy.order == "ordered" and self._slots:
            first = next(iter(self._slots.values()))
            if first.outcome is None:
                break
            self._leave(first, out)
        return out, not self._slots

    def _accept(self, request: Q, out: list[Outcome[Q, R]]) -> None:
        same = self._calls.policy.same
        older = self._newest.get(same(request)) if same else None
        # First: the newer one may need the place of the older.
        if older is not None and self._calls.replace(older):
            self._leave(older, out)
        slot = self._calls.accept(request)
        if slot is None:
            out.append(Outcome(request, None, 0, "capacity"))
            return
        self._slots[slot.number] = slot
        if same:
            self._newest[same(request)] = slot

    def _leave(self, slot: Slot[Q, R], out: list[Outcome[Q, R]]) -> None:
        assert slot.outcome is not None  # noqa: S101 - for the type checker
        out.append(slot.outcome)
        del self._slots[slot.number]
        same = self._calls.policy.same
        if same and self._newest.get(same(slot.request)) is slot:
            del self._newest[same(slot.request)]
        self._calls.leave(slot)

    def on_eof(self) -> tuple[Iterable[Outcome[Q, R]], bool]:
        # Mostly nothing is left here but what the end of the flow gave up. A request can come in at the very end, though,
        # when what watches the calls has ended: nothing else is left to do in this flow, so it is waited for.
        while not self._over() and any(slot.outcome is None for slot in self._slots.values()):
            self._calls.check()
            time.sleep(0.01)
        out: list[Outcome[Q, R]] = []
        for slot in list(self._slots.values()):
            self._calls.stop(slot)
            self._leave(slot, out)
        return out, True

    def on_notify(self) -> tuple[Iterable[Outcome[Q, R]], bool]:
        return (), False

    def notify_at(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


class _EndedPartition(StatelessSourcePartition[tuple[str, _Ended]]):
    def __init__(self, calls: Calls[object, object], over: Callable[[], bool], no_more: threading.Event) -> None:
        self._calls, self._over, self._no_more = calls, over, no_more

    def next_batch(self) -> list[tuple[str, _Ended]]:
        # Asked first: a call that ends in between is still handed on by the next batch.
        over = self._over() or (self._no_more.is_set() and self._calls.outstanding == 0)
        ended = self._calls.take_ended()
        if over and not ended:
            raise StopIteration
        return [(slot.key, _Ended(slot.number)) for slot in ended]

    def next_awake(self) -> datetime | None:
        # Bytewax then looks every millisecond. Its worker wakes up as often whatever is said here, so less saves nothing.
        return None


class _EndedSource(DynamicSource[tuple[str, _Ended]]):
    def __init__(self, calls: Calls[object, object], over: Callable[[], bool], no_more: threading.Event) -> None:
        self._partition = (calls, over, no_more)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _EndedPartition:
        return _EndedPartition(*self._partition)


class _EndPartition(StatelessSinkPartition[object]):
    def __init__(self, no_more: threading.Event) -> None:
        self._no_more = no_more

    def write_batch(self, items: list[object]) -> None:
        """Only the end matters here."""

    def close(self) -> None:
        self._no_more.set()


class _EndSink(DynamicSink[object]):
    """Sets an event at the end of a stream: Bytewax tells that to sinks, even to one that never got an item."""

    def __init__(self, no_more: threading.Event) -> None:
        self._no_more = no_more

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _EndPartition:
        return _EndPartition(self._no_more)


def call(
    step_id: str,
    flow: Dataflow,
    up: KeyedStream[Q],
    calls: Calls[Q, R],
    over: Callable[[], bool] = lambda: False,
) -> KeyedStream[Outcome[Q, R]]:
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
    no_more = threading.Event()
    op.output(f"{step_id}_end", up, _EndSink(no_more))
    ended = op.input(f"{step_id}_ended", flow, _EndedSource(calls, over, no_more))  # pyright: ignore[reportArgumentType]
    merged = op.merge(f"{step_id}_merge", up, ended)
    return op.stateful_batch(step_id, merged, lambda _: _Logic(calls, over))  # pyright: ignore[reportArgumentType, reportReturnType]
