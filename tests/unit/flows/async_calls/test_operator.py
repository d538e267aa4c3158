"""flows/async_calls/operator.py: the asynchronous call operator, in real dataflows."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.lane.call_runner import CallRunner, FailingService, FakeRequest, answer, hang, run_calls

# Order


def request_lists(failures: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[list[FakeRequest]]:
    request = st.builds(
        FakeRequest,
        st.sampled_from("abc"),
        st.sampled_from("xyz"),
        seconds=st.sampled_from([0.0, 0.001, 0.004]),
        failures=failures,
    )
    return st.lists(request, max_size=40).map(
        lambda drawn: [FakeRequest(r.key, r.subject, k, r.seconds, r.failures) for k, r in enumerate(drawn)]
    )


@given(requests=request_lists(st.just(())), size=st.integers(1, 10), in_flight=st.integers(1, 5))
def test_results_of_a_key_are_emitted_in_the_order_of_its_requests(
    requests: list[FakeRequest], size: int, in_flight: int
) -> None:
    batches = [requests[i : i + size] for i in range(0, len(requests), size)]
    outcomes = run_calls(batches, answer, in_flight=in_flight, dedupe_key=None)
    assert all(o.result == f"{o.request.subject}.{o.request.version}" and o.attempts == 1 for o in outcomes)
    for key in "abc":
        assert [o.request for o in outcomes if o.request.key == key] == [r for r in requests if r.key == key]


def test_ordered_results_wait_for_earlier_ones() -> None:
    requests = [FakeRequest("k", "slow", seconds=0.3), FakeRequest("k", "fast"), FakeRequest("k", "faster")]
    assert [o.request.subject for o in run_calls([requests], answer)] == ["slow", "fast", "faster"]


# Superseded requests


@pytest.mark.parametrize("on_full", ["reject", "block"])
def test_a_newer_request_supersedes_a_queued_one_and_is_queued_last(on_full: Literal["reject", "block"]) -> None:
    called: list[tuple[str, int]] = []

    async def note(request: FakeRequest) -> str:
        called.append((request.subject, request.version))
        # The first call completes after all requests are submitted.
        while len(called) == 1 and len(runner.keyed_results) < len(expected_replaced):
            await asyncio.sleep(0.001)
        return f"{request.subject}.{request.version}"

    batches = [
        [FakeRequest("k", "first")],
        [
            FakeRequest("k", "a"),
            FakeRequest("k", "b"),
            FakeRequest("k", "c"),
            FakeRequest("k", "b", 1),
            FakeRequest("k", "b", 2),
        ],
        [FakeRequest("k", "a", 1), FakeRequest("j", "c", 1)],
    ]
    expected_replaced = {("b", 0), ("b", 1), ("a", 0)}
    runner = CallRunner(batches, note, in_flight=1, on_full=on_full)
    outcomes = runner.run()
    replaced = [o for o in outcomes if o.reason is not None]
    assert {(o.request.subject, o.request.version) for o in replaced} == expected_replaced
    assert {(o.result, o.attempts, o.reason) for o in replaced} == {(None, 0, "replaced")}
    assert len(outcomes) == 8
    assert not expected_replaced & set(called)
    # A request of another key supersedes nothing here.
    assert [o.result for o in outcomes if o.result and o.request.key == "k"] == ["first.0", "c.0", "b.2", "a.1"]


def test_a_call_in_flight_is_not_superseded() -> None:
    begun = threading.Event()

    async def note(request: FakeRequest) -> str:
        begun.set()
        return await answer(request)

    def one_by_one() -> Iterator[list[FakeRequest]]:
        yield [FakeRequest("k", "a", seconds=0.1)]
        begun.wait(60)
        yield [FakeRequest("k", "a", 1)]

    assert [(o.result, o.reason) for o in run_calls(one_by_one(), note)] == [("a.0", None), ("a.1", None)]


def test_a_newer_request_uses_the_capacity_of_the_one_it_supersedes() -> None:
    async def until_two_are_superseded(request: FakeRequest) -> str:
        while len(runner.keyed_results) < 2:
            await asyncio.sleep(0.001)
        return "x"

    batches = [[FakeRequest("k", "a")], [FakeRequest("k", "b"), FakeRequest("k", "b", 1), FakeRequest("k", "b", 2)]]
    runner = CallRunner(batches, until_two_are_superseded, in_flight=1, capacity=2)
    outcomes = runner.run()
    assert [(o.request.subject, o.request.version, o.reason) for o in outcomes] == [
        ("b", 0, "replaced"),
        ("b", 1, "replaced"),
        ("a", 0, None),
        ("b", 2, None),
    ]


def test_without_a_dedupe_key_nothing_is_superseded() -> None:
    outcomes = run_calls([[FakeRequest("k", "a", i, 0.01) for i in range(5)]], answer, in_flight=1, dedupe_key=None)
    assert [o.result for o in outcomes] == [f"a.{i}" for i in range(5)]


# The end


@pytest.mark.parametrize(
    "batches", [[], [[]], [[FakeRequest("k", "a", seconds=0.2), FakeRequest("j", "b", seconds=0.1)]]]
)
def test_the_flow_ends_when_all_results_are_emitted(batches: list[list[FakeRequest]]) -> None:
    requests = {r for batch in batches for r in batch}
    outcomes = run_calls(batches, answer)
    assert {o.request for o in outcomes} == requests
    assert all(o.result for o in outcomes)


@pytest.mark.parametrize("slow", ["a", "z"])
def test_results_are_emitted_as_they_complete_after_the_end_of_the_input(slow: str) -> None:
    async def slow_waits_for_the_others(request: FakeRequest) -> str:
        while request.subject == "slow" and len(runner.keyed_results) < 4:
            await asyncio.sleep(0.001)
        return "x"

    runner = CallRunner(
        [[FakeRequest(slow, "slow"), *(FakeRequest(key, "fast", 0, 0.05) for key in "mnop")]], slow_waits_for_the_others
    )
    assert [(o.request.subject, o.result) for o in runner.run()] == [("fast", "x")] * 4 + [("slow", "x")]


def test_requests_that_arrive_after_the_completion_source_ended_are_completed() -> None:
    runner = CallRunner([[FakeRequest("k", "a", seconds=0.1), FakeRequest("k", "b")], [FakeRequest("j", "c")]], answer)
    # The condition holds at the start, when nothing is outstanding: the completion source ends then.
    outcomes = runner.run(is_finished=lambda: runner.executor.outstanding == 0)
    assert sorted(str(o.result) for o in outcomes) == ["a.0", "b.0", "c.0"]


def test_a_stopped_flow_ends_and_cancels_the_calls_in_flight() -> None:
    begun, stopping, cancelled = threading.Event(), threading.Event(), threading.Event()

    async def until_cancelled(request: FakeRequest) -> str:
        begun.set()
        try:
            return await hang(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def endless() -> Iterator[list[FakeRequest]]:
        yield [FakeRequest("k", "a"), FakeRequest("k", "b"), FakeRequest("j", "c")]
        begun.wait(60)
        stopping.set()
        while True:
            yield []

    # Even if every error counts as transient, a cancellation ends a call.
    policy = {"retryable": lambda _: True, "retry_after": lambda _: None}
    runner = CallRunner(endless(), until_cancelled, in_flight=1, on_full="block", deadline=100.0, **policy)
    outcomes = runner.run(is_finished=stopping.is_set, stopping=stopping.is_set)
    assert sorted((o.request.subject, o.result, o.reason) for o in outcomes) == [(k, None, "stopped") for k in "abc"]
    assert sorted(o.attempts for o in outcomes) == [0, 0, 1]
    assert cancelled.is_set()
    assert runner.executor.outstanding == 0


def test_a_call_that_ignores_its_cancellation_is_reported_and_does_not_block_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.async_calls.executor.CLOSE_TIMEOUT_S", 0.2)

    begun = threading.Event()

    async def stubborn(request: FakeRequest) -> str:
        begun.set()
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    runner = CallRunner([[FakeRequest("k", "a")]], stubborn)
    with pytest.raises(TimeoutError, match="1 calls are still running after their cancellation"):
        runner.run(is_finished=begun.is_set)


# All together

FAILURES = st.lists(st.sampled_from(["busy", "busy for long", "broken", "cancelled", "hangs"]), max_size=2).map(tuple)


@given(
    requests=request_lists(st.one_of(st.just(()), FAILURES)),
    size=st.integers(1, 15),
    policy=st.fixed_dictionaries(
        {
            "in_flight": st.integers(1, 8),
            "in_flight_per_key": st.one_of(st.none(), st.integers(1, 3)),
            "capacity": st.integers(1, 20),
            "capacity_per_group": st.one_of(st.none(), st.integers(1, 8)),
            "deadline": st.just(0.4),
            "on_full": st.sampled_from(["reject", "block"]),
            "retry_after": st.sampled_from(
                [lambda error: error.retry_after_s and error.retry_after_s / 36_000, lambda _: None]
            ),
        }
    ),
)
def test_every_request_yields_exactly_one_result(
    requests: list[FakeRequest], size: int, policy: dict[str, Any]
) -> None:
    service = FailingService()
    runner = CallRunner([requests[i : i + size] for i in range(0, len(requests), size)], service, **policy)
    outcomes = runner.run()
    assert Counter(o.request for o in outcomes) == Counter(requests)
    for o in outcomes:
        assert (o.result is None) == (o.reason is not None)
        assert o.attempts == service.attempts[o.request]
        assert o.result in (None, f"{o.request.subject}.{o.request.version}")
    reasons = {o.reason for o in outcomes}
    assert reasons <= {None, "replaced", "capacity", "deadline", "failed: ValueError", "failed: CancelledError"}
    if policy["on_full"] == "block":
        assert not reasons & {"capacity", "deadline"}
    if policy["on_full"] == "reject":
        assert runner.max_outstanding <= policy["capacity"]
    for key in "abc":
        left = [o.request for o in outcomes if o.request.key == key and o.reason not in ("replaced", "capacity")]
        assert left == sorted(left, key=lambda r: r.version)
    assert runner.executor.outstanding == 0
