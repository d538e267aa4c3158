"""The asynchronous call operator, in real dataflows."""

from __future__ import annotations

import asyncio
import doctest
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flows.async_calls.operator
from tests.harness.calls import Request, Runner, Scripted, answer, hang, run

# Order


def some_requests(fails: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[list[Request]]:
    request = st.builds(
        Request,
        st.sampled_from("abc"),
        st.sampled_from("xyz"),
        seconds=st.sampled_from([0.0, 0.001, 0.004]),
        fails=fails,
    )
    return st.lists(request, max_size=40).map(
        lambda drawn: [Request(r.key, r.about, k, r.seconds, r.fails) for k, r in enumerate(drawn)]
    )


@given(requests=some_requests(st.just(())), size=st.integers(1, 10), in_flight=st.integers(1, 5))
def test_results_of_a_key_are_emitted_in_the_order_of_its_requests(
    requests: list[Request], size: int, in_flight: int
) -> None:
    batches = [requests[i : i + size] for i in range(0, len(requests), size)]
    outcomes = run(batches, answer, in_flight=in_flight, dedupe_key=None)
    assert all(o.result == f"{o.request.about}.{o.request.version}" and o.attempts == 1 for o in outcomes)
    for key in "abc":
        assert [o.request for o in outcomes if o.request.key == key] == [r for r in requests if r.key == key]


def test_unordered_results_are_emitted_as_soon_as_they_complete() -> None:
    async def slow_waits_for_the_others(request: Request) -> str:
        while request.about == "slow" and len(runner.out) < 2:
            await asyncio.sleep(0.001)
        return "x"

    runner = Runner(
        [[Request("k", "slow"), Request("k", "fast"), Request("k", "faster")]],
        slow_waits_for_the_others,
        order="unordered",
    )
    assert [o.result for o in runner.run()] == ["x"] * 3
    assert [outcome.request.about for _, outcome in runner.out][2] == "slow"


def test_ordered_results_wait_for_earlier_ones() -> None:
    requests = [Request("k", "slow", seconds=0.3), Request("k", "fast"), Request("k", "faster")]
    assert [o.request.about for o in run([requests], answer, order="ordered")] == ["slow", "fast", "faster"]


# Superseded requests


@pytest.mark.parametrize("on_full", ["reject", "block"])
def test_a_newer_request_supersedes_a_queued_one_and_is_queued_last(on_full: Literal["reject", "block"]) -> None:
    called: list[tuple[str, int]] = []

    async def note(request: Request) -> str:
        called.append((request.about, request.version))
        # All are submitted before the first completes.
        while len(called) == 1 and len(runner.out) < len(expected_replaced):
            await asyncio.sleep(0.001)
        return f"{request.about}.{request.version}"

    batches = [
        [Request("k", "first")],
        [Request("k", "a"), Request("k", "b"), Request("k", "c"), Request("k", "b", 1), Request("k", "b", 2)],
        [Request("k", "a", 1), Request("j", "c", 1)],
    ]
    expected_replaced = {("b", 0), ("b", 1), ("a", 0)}
    runner = Runner(batches, note, in_flight=1, on_full=on_full)
    outcomes = runner.run()
    replaced = [o for o in outcomes if o.reason is not None]
    assert {(o.request.about, o.request.version) for o in replaced} == expected_replaced
    assert {(o.result, o.attempts, o.reason) for o in replaced} == {(None, 0, "replaced")}
    assert len(outcomes) == 8
    assert not expected_replaced & set(called)
    # Another key's request is about something else.
    assert [o.result for o in outcomes if o.result and o.request.key == "k"] == ["first.0", "c.0", "b.2", "a.1"]


def test_a_call_in_flight_is_not_superseded() -> None:
    begun = threading.Event()

    async def note(request: Request) -> str:
        begun.set()
        return await answer(request)

    def one_by_one() -> Iterator[list[Request]]:
        yield [Request("k", "a", seconds=0.1)]
        begun.wait(60)
        yield [Request("k", "a", 1)]

    assert [(o.result, o.reason) for o in run(one_by_one(), note)] == [("a.0", None), ("a.1", None)]


def test_a_newer_request_uses_the_capacity_of_the_one_it_supersedes() -> None:
    async def until_two_are_superseded(request: Request) -> str:
        while len(runner.out) < 2:
            await asyncio.sleep(0.001)
        return "x"

    batches = [[Request("k", "a")], [Request("k", "b"), Request("k", "b", 1), Request("k", "b", 2)]]
    runner = Runner(batches, until_two_are_superseded, in_flight=1, capacity=2)
    outcomes = runner.run()
    assert [(o.request.about, o.request.version, o.reason) for o in outcomes] == [
        ("b", 0, "replaced"),
        ("b", 1, "replaced"),
        ("a", 0, None),
        ("b", 2, None),
    ]


def test_without_a_dedupe_key_nothing_is_superseded() -> None:
    outcomes = run([[Request("k", "a", i, 0.01) for i in range(5)]], answer, in_flight=1, dedupe_key=None)
    assert [o.result for o in outcomes] == [f"a.{i}" for i in range(5)]


# The end


@pytest.mark.parametrize("batches", [[], [[]], [[Request("k", "a", seconds=0.2), Request("j", "b", seconds=0.1)]]])
def test_the_flow_ends_when_all_results_are_emitted(batches: list[list[Request]]) -> None:
    requests = {r for batch in batches for r in batch}
    outcomes = run(batches, answer)
    assert {o.request for o in outcomes} == requests
    assert all(o.result for o in outcomes)


@pytest.mark.parametrize("slow", ["a", "z"])
def test_results_are_emitted_as_they_complete_after_the_end_of_the_input(slow: str) -> None:
    async def slow_waits_for_the_others(request: Request) -> str:
        while request.about == "slow" and len(runner.out) < 4:
            await asyncio.sleep(0.001)
        return "x"

    runner = Runner(
        [[Request(slow, "slow"), *(Request(key, "fast", 0, 0.05) for key in "mnop")]], slow_waits_for_the_others
    )
    assert [(o.request.about, o.result) for o in runner.run()] == [("fast", "x")] * 4 + [("slow", "x")]


def test_requests_that_arrive_after_the_completion_source_ended_are_completed() -> None:
    runner = Runner([[Request("k", "a", seconds=0.1), Request("k", "b")], [Request("j", "c")]], answer)
    # True at the very beginning, when nothing is outstanding: the completion source ends then.
    outcomes = runner.run(is_finished=lambda: runner.executor.outstanding == 0)
    assert sorted(str(o.result) for o in outcomes) == ["a.0", "b.0", "c.0"]


def test_a_stopped_flow_ends_and_cancels_the_calls_in_flight() -> None:
    begun, stopping, cancelled = threading.Event(), threading.Event(), threading.Event()

    async def until_cancelled(request: Request) -> str:
        begun.set()
        try:
            return await hang(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def endless() -> Iterator[list[Request]]:
        yield [Request("k", "a"), Request("k", "b"), Request("j", "c")]
        begun.wait(60)
        stopping.set()
        while True:
            yield []

    # Even if every error counts as transient, a cancellation ends a call.
    policy = {"retryable": lambda _: True, "retry_after": lambda _: None}
    runner = Runner(endless(), until_cancelled, in_flight=1, on_full="block", deadline=100.0, **policy)
    outcomes = runner.run(is_finished=stopping.is_set, stopping=stopping.is_set)
    assert sorted((o.request.about, o.result, o.reason) for o in outcomes) == [(k, None, "stopped") for k in "abc"]
    assert sorted(o.attempts for o in outcomes) == [0, 0, 1]
    assert cancelled.is_set()
    assert runner.executor.outstanding == 0


def test_a_call_that_ignores_its_cancellation_is_named_and_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.async_calls.executor.CLOSE_TIMEOUT_S", 0.2)

    begun = threading.Event()

    async def stubborn(request: Request) -> str:
        begun.set()
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    runner = Runner([[Request("k", "a")]], stubborn)
    with pytest.raises(TimeoutError, match="1 calls are still running after their cancellation"):
        runner.run(is_finished=begun.is_set)


# All together

FAILS = st.lists(st.sampled_from(["busy", "busy for long", "broken", "cancelled", "hangs"]), max_size=2).map(tuple)


@given(
    requests=some_requests(st.one_of(st.just(()), FAILS)),
    size=st.integers(1, 15),
    policy=st.fixed_dictionaries(
        {
            "in_flight": st.integers(1, 8),
            "in_flight_per_key": st.one_of(st.none(), st.integers(1, 3)),
            "capacity": st.one_of(st.none(), st.integers(1, 20)),
            "capacity_per_group": st.one_of(st.none(), st.integers(1, 8)),
            "deadline": st.just(0.4),
            "order": st.sampled_from(["ordered", "unordered"]),
            "on_full": st.sampled_from(["reject", "block"]),
            "retry_after": st.sampled_from([lambda error: error.after and error.after / 36_000, lambda _: None]),
        }
    ),
    workers=st.sampled_from([0, 2]),
)
def test_every_request_yields_exactly_one_result(
    requests: list[Request], size: int, policy: dict[str, Any], workers: int
) -> None:
    service = Scripted()
    runner = Runner([requests[i : i + size] for i in range(0, len(requests), size)], service, **policy)
    outcomes = runner.run(workers=workers)
    assert Counter(o.request for o in outcomes) == Counter(requests)
    for o in outcomes:
        assert (o.result is None) == (o.reason is not None)
        assert o.attempts == service.attempts[o.request]
        assert o.result in (None, f"{o.request.about}.{o.request.version}")
    reasons = {o.reason for o in outcomes}
    assert reasons <= {None, "replaced", "capacity", "deadline", "failed: ValueError", "failed: CancelledError"}
    if policy["on_full"] == "block":
        assert not reasons & {"capacity", "deadline"}
    if policy["on_full"] == "reject" and policy["capacity"]:
        assert runner.most <= policy["capacity"]
    # Two workers feed the step at the same time: the order of a key's requests is then undefined.
    if policy["order"] == "ordered" and not workers:
        for key in "abc":
            left = [o.request for o in outcomes if o.request.key == key and o.reason not in ("replaced", "capacity")]
            assert left == sorted(left, key=lambda r: r.version)
    assert runner.executor.outstanding == 0


def test_the_example_in_its_documentation_works() -> None:
    [example] = doctest.DocTestFinder(recurse=False).find(flows.async_calls.operator, "flows.async_calls.operator")
    failures: list[str] = []
    results = doctest.DocTestRunner().run(example, out=failures.append)
    assert results.attempted >= 10
    assert results.failed == 0, "".join(failures)
