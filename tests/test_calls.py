"""The asynchronous call operator, in real dataflows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.testing import TestingSink, run_main
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.calls import CallPolicy, Calls, Outcome, call


@dataclass(frozen=True)
class Request:
    key: str
    about: str
    version: int = 0
    seconds: float = 0.0


class Busy(Exception):
    pass


class _Feed(StatelessSourcePartition[tuple[str, Request]]):
    """Gives its requests one batch after another, and may be told to wait."""

    def __init__(self, batches: list[list[Request]], wait: Callable[[], bool], done: threading.Event) -> None:
        self._batches, self._wait, self._done = list(batches), wait, done

    def next_batch(self) -> list[tuple[str, Request]]:
        if not self._batches:
            self._done.set()
            raise StopIteration
        if self._wait():
            return []
        return [(r.key, r) for r in self._batches.pop(0)]


class _FeedSource(DynamicSource[tuple[str, Request]]):
    def __init__(self, *arguments: object) -> None:
        self._arguments = arguments

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Feed:
        return _Feed(*self._arguments)


def run(
    batches: list[list[Request]],
    service: Callable[[Request], Awaitable[str]],
    *,
    in_flight: int = 8,
    capacity: int = 1000,
    deadline: float = 5.0,
    when_full: Literal["owe", "wait"] = "owe",
) -> list[Outcome[Request, str]]:
    policy = CallPolicy[Request](
        key=lambda r: r.key,
        same=lambda r: r.about,
        in_flight=in_flight,
        capacity=capacity,
        deadline=deadline,
        when_full=when_full,
        retryable=lambda error: isinstance(error, Busy),
    )
    calls = Calls(service, policy)
    out: list[tuple[str, Outcome[Request, str]]] = []
    fed = threading.Event()
    flow = Dataflow("test")
    requests = op.input("in", flow, _FeedSource(batches, calls.must_wait, fed))
    answers = call("call", flow, requests, calls, lambda: fed.is_set() and calls.outstanding == 0)
    op.output("out", answers, TestingSink(out))
    try:
        run_main(flow)
    finally:
        calls.close()
    return [outcome for _, outcome in out]


async def answer(request: Request) -> str:
    await asyncio.sleep(request.seconds)
    return f"{request.about}.{request.version}"


REQUESTS = st.lists(
    st.builds(
        Request,
        key=st.sampled_from("abc"),
        about=st.uuids().map(str),
        seconds=st.sampled_from([0.0, 0.001, 0.004]),
    ),
    max_size=40,
)


@settings(max_examples=30, deadline=None)
@given(requests=REQUESTS, size=st.integers(1, 10), in_flight=st.integers(1, 5))
def test_results_of_a_key_leave_in_the_order_of_its_requests(
    requests: list[Request], size: int, in_flight: int
) -> None:
    batches = [requests[i : i + size] for i in range(0, len(requests), size)]
    outcomes = run(batches, answer, in_flight=in_flight)
    assert all(o.result == f"{o.request.about}.0" and o.asked == 1 for o in outcomes)
    for key in "abc":
        assert [o.request for o in outcomes if o.request.key == key] == [r for r in requests if r.key == key]


def test_no_more_than_the_limit_is_in_flight() -> None:
    now, most = 0, 0

    async def count(request: Request) -> str:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return "x"

    outcomes = run([[Request("k", str(i)) for i in range(40)]], count, in_flight=3)
    assert len(outcomes) == 40
    assert most == 3


def test_a_full_operator_owes_at_once_and_lets_the_stream_go_on() -> None:
    async def slow(request: Request) -> str:
        await asyncio.sleep(30)
        return "x"

    batches = [[Request("k", "0"), Request("k", "1")], [Request("k", "2"), Request("j", "3")]]
    started = time.monotonic()
    outcomes = run(batches, slow, capacity=2, deadline=0.5)
    assert {(o.request.about, o.reason, o.asked) for o in outcomes[:2]} == {("2", "capacity", 0), ("3", "capacity", 0)}
    assert [(o.request.about, o.reason) for o in outcomes[2:]] == [("0", "deadline"), ("1", "deadline")]
    assert time.monotonic() - started < 4


def test_a_full_operator_that_waits_loses_nothing_and_owes_nothing() -> None:
    most = 0
    calls_now = 0

    async def watch(request: Request) -> str:
        nonlocal most, calls_now
        calls_now += 1
        most = max(most, calls_now)
        await asyncio.sleep(0.002)
        calls_now -= 1
        return request.about

    batches = [[Request("k", str(i))] for i in range(60)]
    outcomes = run(batches, watch, in_flight=100, capacity=4, when_full="wait")
    assert [o.result for o in outcomes] == [str(i) for i in range(60)]
    assert most <= 4


def test_a_deadline_covers_all_attempts_and_the_wait_for_a_turn() -> None:
    async def never(request: Request) -> str:
        raise Busy

    outcomes = run([[Request("k", "a"), Request("k", "b")]], never, in_flight=1, deadline=1.5)
    assert [(o.result, o.reason) for o in outcomes] == [(None, "deadline")] * 2
    assert outcomes[0].asked >= 2
    # Its turn can come in the very instant in which both are given up.
    assert outcomes[1].asked <= 1


def test_errors_that_may_pass_are_tried_again() -> None:
    tries: dict[str, int] = {}

    async def flaky(request: Request) -> str:
        tries[request.about] = tries.get(request.about, 0) + 1
        if tries[request.about] < 3:
            raise Busy
        return "x"

    outcomes = run([[Request("k", "a"), Request("k", "b")]], flaky)
    assert [(o.result, o.asked) for o in outcomes] == [("x", 3), ("x", 3)]


def test_other_errors_leave_the_request_owed_and_the_flow_alive() -> None:
    async def broken(request: Request) -> str:
        if request.about == "bad":
            raise ValueError("secret words")
        return "x"

    outcomes = run([[Request("k", "bad"), Request("k", "good")]], broken)
    assert [(o.result, o.reason) for o in outcomes] == [(None, "failed: ValueError"), ("x", None)]


def test_a_call_that_hangs_is_made_anew_where_the_stream_waits() -> None:
    tries = 0

    async def hang_once(request: Request) -> str:
        nonlocal tries
        tries += 1
        await asyncio.sleep(30 if tries == 1 else 0)
        return "x"

    outcomes = run([[Request("k", "a")]], hang_once, when_full="wait", deadline=0.1)
    assert [(o.result, o.asked) for o in outcomes] == [("x", 2)]


@pytest.mark.parametrize("when_full", ["owe", "wait"])
def test_a_newer_request_replaces_a_waiting_one_and_joins_the_tail(when_full: Literal["owe", "wait"]) -> None:
    asked: list[tuple[str, int]] = []

    async def note(request: Request) -> str:
        asked.append((request.about, request.version))
        await asyncio.sleep(0.05)
        return f"{request.about}.{request.version}"

    requests = [Request("k", "a"), Request("k", "b"), Request("k", "c"), Request("k", "b", 1), Request("k", "a", 1)]
    outcomes = run([requests], note, in_flight=1, when_full=when_full)
    # `a` was under way already: both its versions are answered. `b` still waited: only its newer version is asked.
    assert sorted(asked) == [("a", 0), ("a", 1), ("b", 1), ("c", 0)] or ("a", 0) not in asked
    assert ("b", 0) not in asked
    assert [o.result for o in outcomes][-3:] == ["c.0", "b.1", "a.1"]


def test_a_replacement_finds_the_place_that_it_frees() -> None:
    async def slow(request: Request) -> str:
        await asyncio.sleep(0.1)
        return f"{request.about}.{request.version}"

    requests = [Request("k", "a"), Request("k", "b"), Request("k", "b", 1), Request("k", "b", 2)]
    outcomes = run([requests[:2], requests[2:]], slow, in_flight=1, capacity=2)
    assert [(o.result, o.reason) for o in outcomes] == [("a.0", None), ("b.2", None)]
