"""Asynchronous calls as a Bytewax step: a slow service, model or database never blocks the stream.

The step follows Flink's asynchronous I/O (Apache Flink, "Asynchronous I/O for External Data Access", FLIP-12). Results of
a key are emitted in the order of its requests. Limits bound the requests that are queued and in flight. Each request has a
deadline over all its attempts.

Three things are added. Keys take turns, so a busy key never starves the others. A newer request for the same thing
supersedes a queued one. A full executor blocks its source, or rejects requests at once.

Every request yields exactly one `CallResult`, and the flow ends only when all are emitted. A complete flow:

>>> import asyncio
>>> import bytewax.operators as op
>>> from bytewax.dataflow import Dataflow
>>> from bytewax.testing import TestingSink, TestingSource, run_main
>>> from flows.async_calls import CallExecutor, CallPolicy, call
>>>
>>> async def shout(request):
...     speaker, text = request
...     await asyncio.sleep(0.05 if text == "well" else 0)
...     return text.upper()
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
>>> executor = CallExecutor(shout, policy)
>>> flow = Dataflow("shouting")
>>> requests = op.input("requests", flow, TestingSource([("ann", "well"), ("bob", "yes"), ("ann", "hm")]))
>>> results = call("shout", flow, op.key_on("by_speaker", requests, policy.key), executor)
>>> collected = []
>>> op.output("out", results, TestingSink(collected))
>>> try:
...     run_main(flow)
... finally:
...     executor.close()
>>> {speaker: [result.result for key, result in collected if key == speaker] for speaker in ("ann", "bob")}
{'ann': ['WELL', 'HM'], 'bob': ['YES']}

Keys do not poll for results: a second input of the flow yields the calls that completed. Nothing is kept for Bytewax's
recovery: after a crash, the source must emit the requests without a result again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

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
    """Notifies a key that one of its calls completed."""


class _CallLogic(StatefulBatchLogic["Q | _Completion", CallResult[Q, R], None], Generic[Q, R]):
    """The pending calls of one key, in order."""

    def __init__(self, executor: CallExecutor[Q, R], is_finished: Callable[[], bool]) -> None:
        self._executor, self._is_finished = executor, is_finished
        self._pending: dict[PendingCall[Q, R], None] = {}
        """The pending calls, in the order of their requests."""
        self._newest: dict[Hashable, PendingCall[Q, R]] = {}
        """The newest pending call for each `dedupe_key`."""

    def on_batch(self, values: list[Q | _Completion]) -> tuple[Iterable[CallResult[Q, R]], bool]:
        out: list[CallResult[Q, R]] = []
        for value in values:
            if not isinstance(value, _Completion):
                self._submit(value, out)
        while self._pending and (first := next(iter(self._pending))).outcome is not None:
            self._release(first, out)
        return out, not self._pending

    def _submit(self, request: Q, out: list[CallResult[Q, R]]) -> None:
        dedupe_key = self._executor.policy.dedupe_key
        older = self._newest.get(dedupe_key(request)) if dedupe_key else None
        # The older one is released first: the newer one may need its capacity.
        if older is not None and self._executor.supersede(older):
            self._release(older, out)
        pending = self._executor.submit(request)
        if pending is None:
            out.append(CallResult(request, None, 0, "capacity"))
            return
        self._pending[pending] = None
        if dedupe_key:
            self._newest[dedupe_key(request)] = pending

    def _release(self, pending: PendingCall[Q, R], out: list[CallResult[Q, R]]) -> None:
        assert pending.outcome is not None  # noqa: S101 - for the type checker
        out.append(pending.outcome)
        del self._pending[pending]
        dedupe_key = self._executor.policy.dedupe_key
        if dedupe_key and self._newest.get(dedupe_key(pending.request)) is pending:
            del self._newest[dedupe_key(pending.request)]
        self._executor.release(pending)

    def on_eof(self) -> tuple[Iterable[CallResult[Q, R]], bool]:
        # Usually the only calls left are those that a stopped flow gives up. A request can still arrive after the
        # completion source has ended. Waiting here is safe then: the flow has nothing else to do.
        while not self._is_finished() and any(pending.outcome is None for pending in self._pending):
            self._executor.raise_if_broken()
            time.sleep(0.01)
        out: list[CallResult[Q, R]] = []
        for pending in list(self._pending):
            self._executor.abandon(pending)
            self._release(pending, out)
        return out, True

    def on_notify(self) -> tuple[Iterable[CallResult[Q, R]], bool]:
        return (), False

    def notify_at(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


class _CompletionPartition(StatelessSourcePartition[tuple[str, _Completion]]):
    def __init__(
        self, executor: CallExecutor[Any, Any], is_finished: Callable[[], bool], input_ended: threading.Event
    ) -> None:
        self._executor, self._is_finished, self._input_ended = executor, is_finished, input_ended

    def next_batch(self) -> list[tuple[str, _Completion]]:
        # This check comes first: a call that completes after it is taken below, or by the next batch.
        finished = self._is_finished() or (self._input_ended.is_set() and self._executor.outstanding == 0)
        completed = self._executor.take_completed()
        if finished and not completed:
            raise StopIteration
        return [(pending.key, _Completion()) for pending in completed]

    def next_awake(self) -> datetime | None:
        # Bytewax then polls every millisecond. Its worker wakes up that often anyway, so a longer pause saves nothing.
        return None


class _CompletionSource(DynamicSource[tuple[str, _Completion]]):
    def __init__(
        self, executor: CallExecutor[Any, Any], is_finished: Callable[[], bool], input_ended: threading.Event
    ) -> None:
        self._partition = (executor, is_finished, input_ended)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _CompletionPartition:
        return _CompletionPartition(*self._partition)


class _InputEndedPartition(StatelessSinkPartition[object]):
    def __init__(self, input_ended: threading.Event) -> None:
        self._input_ended = input_ended

    def write_batch(self, items: list[object]) -> None:
        """Ignore the items: only the end of the stream matters."""

    def close(self) -> None:
        self._input_ended.set()


class _InputEndedSink(DynamicSink[object]):
    """Sets an event at the end of a stream. Bytewax closes every sink then, even one that never got an item."""

    def __init__(self, input_ended: threading.Event) -> None:
        self._input_ended = input_ended

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _InputEndedPartition:
        return _InputEndedPartition(self._input_ended)


def call(
    step_id: str,
    flow: Dataflow,
    up: KeyedStream[Q],
    executor: CallExecutor[Q, R],
    is_finished: Callable[[], bool] = lambda: False,
) -> KeyedStream[CallResult[Q, R]]:
    """Make an asynchronous call for each request of a stream.

    The step ends when its input has ended and all results are emitted, or when `is_finished` returns true. In the second
    case the remaining requests end as `stopped`, and `CallExecutor.close` cancels their calls.

    Args:
        step_id: name of the step.
        flow: the dataflow.
        up: the stream of requests, keyed by `executor.policy.key`.
        executor: makes the calls of this step only. Close it after the flow has ended.
        is_finished: returns true once the step must not wait for its calls any longer, because the flow is being stopped.
            The input must end, too.

    Returns:
        A stream with one result for each request, with the same keys.
    """
    input_ended = threading.Event()
    op.output(f"{step_id}_end", up, _InputEndedSink(input_ended))
    completions = op.input(f"{step_id}_ended", flow, _CompletionSource(executor, is_finished, input_ended))
    merged = op.merge(f"{step_id}_merge", up, completions)
    return op.stateful_batch(step_id, merged, lambda _: _CallLogic(executor, is_finished))
