"""Helpers for tests of asynchronous calls: flows around the operator, and services that fail as their requests say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.testing import TestingSink, cluster_main, run_main

from flows.async_calls import CallExecutor, CallPolicy, CallResult, call


@dataclass(frozen=True)
class Request:
    key: str
    about: str
    version: int = 0
    seconds: float = 0.0
    fails: tuple[str, ...] = ()
    """How its attempts end, one after the other; the attempt after these succeeds."""


class Busy(Exception):
    """A transient error. `after` is the least pause in seconds that it asks for (Retry-After)."""

    def __init__(self, after: float | None = None) -> None:
        self.after = after


class Runner:
    """Runs a dataflow around the operator, fed by one batch after another.

    Attributes:
        most: the highest number of outstanding requests when a batch was requested from the feed.
        taken: number of requests fed so far.
    """

    def __init__(
        self,
        batches: Iterable[list[Request]],
        service: Callable[[Request], Awaitable[str]],
        *,
        observe: Callable[[Request, Literal["queue", "call"], float], None] | None = None,
        **policy: Any,
    ) -> None:
        options: dict[str, Any] = {
            "key": lambda r: r.key,
            "dedupe_key": lambda r: r.about,
            "in_flight": 8,
            "capacity": 1000,
            # Ample: a test that is about deadlines has one of its own.
            "deadline": 60.0,
            "on_full": "reject",
            "retryable": lambda error: isinstance(error, Busy),
            "retry_after": lambda error: error.after,
        }
        self.executor = CallExecutor(
            service, CallPolicy[Request](**{**options, **policy}), *([observe] if observe else [])
        )
        self.batches = iter(batches)
        self.most = self.taken = 0
        self.out: list[tuple[str, CallResult[Request, str]]] = []

    def run(
        self,
        is_finished: Callable[[], bool] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        workers: int = 0,
    ) -> list[CallResult[Request, str]]:
        """Run the flow to its end."""
        flow = Dataflow("test")
        requests = op.input("in", flow, _FeedSource(self, stopping))
        results = call("call", flow, requests, self.executor, *([is_finished] if is_finished else []))
        op.output("out", results, TestingSink(self.out))
        try:
            if workers:
                cluster_main(flow, [], 0, worker_count_per_proc=workers)
            else:
                run_main(flow)
        finally:
            self.executor.close()
        assert all(key == outcome.request.key for key, outcome in self.out)
        return [outcome for _, outcome in self.out]


class _Feed(StatelessSourcePartition[tuple[str, Request]]):
    def __init__(self, runner: Runner, stopping: Callable[[], bool]) -> None:
        self._runner, self._stopping = runner, stopping

    def next_batch(self) -> list[tuple[str, Request]]:
        runner = self._runner
        runner.most = max(runner.most, runner.executor.outstanding)
        if self._stopping():
            raise StopIteration
        if runner.executor.must_block():
            return []
        batch = [(r.key, r) for r in next(runner.batches)]
        runner.taken += len(batch)
        return batch


class _FeedSource(DynamicSource[tuple[str, Request]]):
    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Feed:
        return _Feed(*self._arguments)


def run(
    batches: Iterable[list[Request]], service: Callable[[Request], Awaitable[str]], **policy: Any
) -> list[CallResult[Request, str]]:
    return Runner(batches, service, **policy).run()


class Concurrency:
    """A service that records the highest number of calls in flight, in total and per key."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most = self.most_of_a_key = 0

    async def __call__(self, request: Request) -> str:
        self.now[request.key] += 1
        self.most = max(self.most, self.now.total())
        self.most_of_a_key = max(self.most_of_a_key, *self.now.values())
        await asyncio.sleep(0.004)
        self.now[request.key] -= 1
        return request.about


async def answer(request: Request) -> str:
    await asyncio.sleep(request.seconds)
    return f"{request.about}.{request.version}"


async def hang(request: Request) -> str:
    await asyncio.sleep(60)
    raise AssertionError


class Scripted:
    """A service whose attempts fail as their request says."""

    def __init__(self) -> None:
        self.attempts: Counter[Request] = Counter()

    async def __call__(self, request: Request) -> str:
        k = self.attempts[request]
        self.attempts[request] += 1
        await asyncio.sleep(request.seconds)
        match request.fails[k] if k < len(request.fails) else "answer":
            case "busy":
                raise Busy
            case "busy for long":
                raise Busy(3600)
            case "broken":
                raise ValueError
            case "cancelled":
                raise asyncio.CancelledError
            case "hangs":
                return await hang(request)
            case _:
                return await answer(request)
