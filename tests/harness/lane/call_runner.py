"""Helpers for tests of asynchronous calls: dataflows around the operator, and services with scripted failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.testing import TestingSink, run_main

from flows.async_calls import CallExecutor, CallPolicy, CallResult, call


@dataclass(frozen=True)
class FakeRequest:
    """A request of the tests, whose service takes `seconds`."""

    key: str
    subject: str
    version: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    """The failures of its attempts, in order; the next attempt succeeds."""


class BusyError(Exception):
    """A transient error. `retry_after_s` is the minimum pause (s) before a retry, as in Retry-After."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s


class CallRunner:
    """Runs a dataflow around the operator with batches of requests.

    Args:
        batches: the batches of requests.
        service: answers a request.
        observe: observer of the executor's timings.
        policy: fields of the `CallPolicy` that differ from the tests' defaults.

    Attributes:
        max_outstanding: the highest number of outstanding requests when a batch was read.
        fed_count: number of requests fed so far.
        keyed_results: key and result of each finished request, in the order of emission.
    """

    def __init__(
        self,
        batches: Iterable[list[FakeRequest]],
        service: Callable[[FakeRequest], Awaitable[str]],
        *,
        observe: Callable[[FakeRequest, Literal["queue", "call"], float], None] | None = None,
        **policy: Any,
    ) -> None:
        options: dict[str, Any] = {
            "key": lambda r: r.key,
            "dedupe_key": lambda r: r.subject,
            "in_flight": 8,
            "capacity": 1000,
            # Long, because tests of deadlines set their own.
            "deadline": 60.0,
            "on_full": "reject",
            "retryable": lambda error: isinstance(error, BusyError),
            "retry_after": lambda error: error.retry_after_s,
        }
        self.executor = CallExecutor(
            service, CallPolicy[FakeRequest](**{**options, **policy}), *([observe] if observe else [])
        )
        self.batches = iter(batches)
        self.max_outstanding = self.fed_count = 0
        self.keyed_results: list[tuple[str, CallResult[FakeRequest, str]]] = []

    def run(
        self,
        is_finished: Callable[[], bool] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[CallResult[FakeRequest, str]]:
        """Run the dataflow to its end, and return the results.

        Args:
            is_finished: the operator's completion condition.
            stopping: ends the source once it returns True.
        """
        flow = Dataflow("test")
        requests = op.input("in", flow, _RequestSource(self, stopping))
        results = call("call", flow, requests, self.executor, *([is_finished] if is_finished else []))
        op.output("out", results, TestingSink(self.keyed_results))
        try:
            run_main(flow)
        finally:
            self.executor.close()
        assert all(key == outcome.request.key for key, outcome in self.keyed_results)
        return [outcome for _, outcome in self.keyed_results]


class _RequestPartition(StatelessSourcePartition[tuple[str, FakeRequest]]):
    def __init__(self, runner: CallRunner, stopping: Callable[[], bool]) -> None:
        self._runner, self._stopping = runner, stopping

    def next_batch(self) -> list[tuple[str, FakeRequest]]:
        runner = self._runner
        runner.max_outstanding = max(runner.max_outstanding, runner.executor.outstanding)
        if self._stopping():
            raise StopIteration
        if runner.executor.must_block():
            return []
        batch = [(r.key, r) for r in next(runner.batches)]
        runner.fed_count += len(batch)
        return batch


class _RequestSource(DynamicSource[tuple[str, FakeRequest]]):
    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _RequestPartition:
        return _RequestPartition(*self._arguments)


def run_calls(
    batches: Iterable[list[FakeRequest]], service: Callable[[FakeRequest], Awaitable[str]], **policy: Any
) -> list[CallResult[FakeRequest, str]]:
    """Run a dataflow around the operator to its end, and return the results."""
    return CallRunner(batches, service, **policy).run()


class ConcurrencyRecorder:
    """A service that records the highest number of calls in flight, in total and per key."""

    def __init__(self) -> None:
        self.in_flight: Counter[str] = Counter()
        self.max_in_flight = self.max_per_key = 0

    async def __call__(self, request: FakeRequest) -> str:
        self.in_flight[request.key] += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight.total())
        self.max_per_key = max(self.max_per_key, *self.in_flight.values())
        await asyncio.sleep(0.004)
        self.in_flight[request.key] -= 1
        return request.subject


async def answer(request: FakeRequest) -> str:
    """Answer after the request's duration."""
    await asyncio.sleep(request.seconds)
    return f"{request.subject}.{request.version}"


async def hang(request: FakeRequest) -> str:
    """Never answer."""
    await asyncio.sleep(60)
    raise AssertionError


class FailingService:
    """A service whose attempts fail as the request's `failures` specify.

    Attributes:
        attempts: number of attempts by request.
    """

    def __init__(self) -> None:
        self.attempts: Counter[FakeRequest] = Counter()

    async def __call__(self, request: FakeRequest) -> str:
        attempt = self.attempts[request]
        self.attempts[request] += 1
        await asyncio.sleep(request.seconds)
        match request.failures[attempt] if attempt < len(request.failures) else "answer":
            case "busy":
                raise BusyError
            case "busy for long":
                raise BusyError(3600)
            case "broken":
                raise ValueError
            case "cancelled":
                raise asyncio.CancelledError
            case "hangs":
                return await hang(request)
            case _:
                return await answer(request)
