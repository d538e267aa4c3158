"""flows/async_calls/executor.py: limits, fair queueing, deadlines and retries, in real dataflows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from bytewax.errors import BytewaxRuntimeError

from tests.harness.lane.call_runner import (
    BusyError,
    CallRunner,
    ConcurrencyRecorder,
    FailingService,
    FakeRequest,
    answer,
    hang,
    run_calls,
)

# Limits and fairness


def test_calls_in_flight_reach_the_limit_and_never_exceed_it() -> None:
    service = ConcurrencyRecorder()
    outcomes = run_calls([[FakeRequest("k", str(i)) for i in range(40)]], service, in_flight=3)
    assert len(outcomes) == 40
    assert service.max_in_flight == 3


def test_calls_of_a_key_in_flight_never_exceed_its_limit() -> None:
    service = ConcurrencyRecorder()
    requests = [FakeRequest(key, str(i)) for i in range(20) for key in "abc"]
    outcomes = run_calls([requests], service, in_flight=5, in_flight_per_key=2)
    assert len(outcomes) == 60
    assert (service.max_in_flight, service.max_per_key) == (5, 2)


def test_a_key_with_a_thousand_queued_requests_delays_another_by_one_turn_at_most() -> None:
    called: list[str] = []

    async def note(request: FakeRequest) -> str:
        called.append(request.key)
        while runner.executor.outstanding < 1001 and len(called) == 1:
            await asyncio.sleep(0.001)
        return "x"

    batches = [[FakeRequest("busy", str(i)) for i in range(1000)], [FakeRequest("quiet", "0")]]
    runner = CallRunner(batches, note, in_flight=1, capacity=1001, deadline=60.0)
    assert len(runner.run()) == 1001
    # When `quiet` arrived, the first request of `busy` was in flight and the second was next.
    assert called.index("quiet") <= 2


def test_a_full_executor_rejects_at_once_and_the_stream_continues() -> None:
    async def until_two_are_rejected(request: FakeRequest) -> str:
        while len(runner.keyed_results) < 2:
            await asyncio.sleep(0.001)
        return "x"

    batches = [[FakeRequest("k", "0"), FakeRequest("k", "1")], [FakeRequest("k", "2"), FakeRequest("j", "3")]]
    runner = CallRunner(batches, until_two_are_rejected, capacity=2)
    outcomes = runner.run()
    assert {(o.request.subject, o.reason, o.attempts) for o in outcomes[:2]} == {
        ("2", "capacity", 0),
        ("3", "capacity", 0),
    }
    assert [(o.request.subject, o.result) for o in outcomes[2:]] == [("0", "x"), ("1", "x")]


def test_a_full_key_is_rejected_and_others_continue() -> None:
    batches = [[FakeRequest("k", "0"), FakeRequest("k", "1"), FakeRequest("j", "2"), FakeRequest("k", "3")]]
    outcomes = run_calls(batches, hang, capacity_per_group=2, deadline=0.3)
    assert [(o.request.subject, o.reason) for o in outcomes[:1]] == [("3", "capacity")]
    assert {(o.request.subject, o.reason) for o in outcomes[1:]} == {(about, "deadline") for about in "012"}


@pytest.mark.parametrize("bounds", [{"capacity": 4}, {"capacity_per_group": 4}])
def test_a_full_executor_that_blocks_puts_backpressure_on_its_source(bounds: dict[str, int]) -> None:
    async def first_is_slow(request: FakeRequest) -> str:
        # Later requests complete early and wait for this one: they count as outstanding.
        if request.subject == "0":
            await asyncio.sleep(0.3)
            read_while_slow.append(runner.fed_count)
        return request.subject

    read_while_slow: list[int] = []
    batches = ([FakeRequest("k", str(2 * i)), FakeRequest("k", str(2 * i + 1))] for i in range(1_000))
    runner = CallRunner(batches, first_is_slow, in_flight=100, on_full="block", **bounds)
    assert [o.result for o in runner.run()] == [str(i) for i in range(2_000)]
    assert runner.max_outstanding <= 4 + 2
    assert read_while_slow[0] <= 4 + 2


def test_a_full_executor_that_rejects_keeps_to_its_capacity_with_a_huge_source() -> None:
    batches = ([FakeRequest(str(k % 5), f"{i}.{k}", seconds=0.001) for k in range(100)] for i in range(100))
    runner = CallRunner(batches, answer, in_flight=2, capacity=50)
    outcomes = runner.run()
    assert len(outcomes) == 10_000
    assert runner.max_outstanding <= 50
    assert {o.reason for o in outcomes} == {None, "capacity"}


@pytest.mark.parametrize(
    "bad", [{"in_flight": 0}, {"in_flight_per_key": 0}, {"capacity": 0}, {"capacity_per_group": -1}, {"deadline": 0.0}]
)
def test_a_policy_that_allows_nothing_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(bad))}: must be"):
        CallRunner([], answer, **bad)


# Deadlines and retries


def test_a_deadline_covers_the_time_in_the_queue() -> None:
    outcomes = run_calls([[FakeRequest("k", "a"), FakeRequest("k", "b")]], hang, in_flight=1, deadline=0.3)
    assert [(o.result, o.reason) for o in outcomes] == [(None, "deadline")] * 2
    assert outcomes[0].attempts == 1
    # The second request can be dequeued at the instant when both expire.
    assert outcomes[1].attempts <= 1


def test_a_queued_request_expires_while_another_is_in_flight() -> None:
    all_there = False

    async def quick_but_for_the_other_key(request: FakeRequest) -> str:
        nonlocal all_there
        while not all_there:
            await asyncio.sleep(0.001)
            all_there = runner.executor.outstanding == 4
        return await hang(request) if request.key == "other" else "x"

    def in_two() -> Iterator[list[FakeRequest]]:
        yield [FakeRequest("k", "0"), FakeRequest("k", "1"), FakeRequest("k", "2")]
        time.sleep(0.4)
        yield [FakeRequest("other", "3")]

    # After `0`, the executor calls `1` and then `3`; `2` expires in the queue.
    runner = CallRunner(in_two(), quick_but_for_the_other_key, in_flight=1, deadline=5.0)
    outcomes = runner.run()
    assert [(o.request.subject, o.attempts, o.reason) for o in outcomes] == [
        ("0", 1, None),
        ("1", 1, None),
        ("2", 0, "deadline"),
        ("3", 1, "deadline"),
    ]


def test_a_deadline_ends_a_call_even_if_every_error_is_retryable() -> None:
    [outcome] = run_calls(
        [[FakeRequest("k", "a")]], hang, deadline=0.3, retryable=lambda _: True, retry_after=lambda _: None
    )
    assert (outcome.attempts, outcome.reason) == (1, "deadline")


def test_a_deadline_covers_all_attempts_together() -> None:
    service = FailingService()
    # Each attempt alone is within the deadline; the three together are not.
    late = FakeRequest("k", "a", seconds=0.3, failures=("busy", "busy"))
    [outcome] = run_calls([[late]], service, deadline=0.9)
    assert (outcome.result, outcome.reason) == (None, "deadline")
    assert 1 <= outcome.attempts == service.attempts[late] <= 2


def test_transient_errors_are_retried() -> None:
    requests = [FakeRequest("k", "a", failures=("busy", "busy")), FakeRequest("k", "b", failures=("busy",))]
    assert [(o.result, o.attempts) for o in run_calls([requests], FailingService())] == [("a.0", 3), ("b.0", 2)]


def test_other_errors_leave_the_request_without_a_result_and_the_flow_alive() -> None:
    requests = [FakeRequest("k", "bad", failures=("broken",)), FakeRequest("k", "good")]
    outcomes = run_calls([requests], FailingService())
    assert [(o.result, o.attempts, o.reason) for o in outcomes] == [
        (None, 1, "failed: ValueError"),
        ("good.0", 1, None),
    ]


def test_a_cancellation_or_timeout_within_the_service_is_an_error_of_the_service() -> None:
    async def give_up(request: FakeRequest) -> str:
        raise asyncio.CancelledError if request.subject == "a" else TimeoutError

    outcomes = run_calls([[FakeRequest("k", "a"), FakeRequest("k", "b")]], give_up)
    assert [(o.attempts, o.reason) for o in outcomes] == [(1, "failed: CancelledError"), (1, "failed: TimeoutError")]


def test_retry_after_is_respected() -> None:
    started_at: list[float] = []

    async def busy_once(request: FakeRequest) -> str:
        started_at.append(time.monotonic())
        if len(started_at) == 1:
            raise BusyError(0.6)
        return "x"

    [outcome] = run_calls([[FakeRequest("k", "a")]], busy_once)
    assert (outcome.result, outcome.attempts) == ("x", 2)
    # Without Retry-After, the second attempt follows within 0.2 s.
    assert started_at[1] - started_at[0] >= 0.6


def test_a_request_whose_retry_would_start_after_the_deadline_ends_at_once() -> None:
    # If the executor waited for the retry, this test would take an hour.
    outcomes = run_calls(
        [[FakeRequest("k", "a", failures=("busy for long",)), FakeRequest("k", "b")]], FailingService(), deadline=3500.0
    )
    assert [(o.attempts, o.reason) for o in outcomes] == [(1, "deadline"), (1, None)]


def test_a_call_that_hangs_is_retried_if_the_stream_blocks() -> None:
    [outcome] = run_calls(
        [[FakeRequest("k", "a", failures=("hangs", "busy"))]], FailingService(), on_full="block", deadline=0.1
    )
    assert outcome.result == "a.0"
    # A stall of the machine can add an attempt.
    assert outcome.attempts >= 3


# Observation


def test_timings_are_observed_for_each_request_that_is_called() -> None:
    observed: list[tuple[str, float]] = []
    scripted = FailingService()

    async def once_one_is_superseded(request: FakeRequest) -> str:
        while not runner.keyed_results:
            await asyncio.sleep(0.001)
        return await scripted(request)

    requests = [FakeRequest("k", "a", seconds=0.1, failures=("busy",)), FakeRequest("k", "b"), FakeRequest("k", "b", 1)]
    runner = CallRunner(
        [requests],
        once_one_is_superseded,
        in_flight=1,
        observe=lambda _, phase, seconds: observed.append((phase, seconds)),
    )
    outcomes = runner.run()
    assert [o.reason for o in outcomes] == ["replaced", None, None]
    assert [phase for phase, _ in observed] == ["queue", "call", "queue", "call"]
    # Two attempts and the pause between them; the other request waited for all of it.
    assert observed[1][1] >= 0.3
    assert observed[2][1] >= 0.3


def test_an_error_of_the_observer_ends_the_flow() -> None:
    def broken(request: FakeRequest, phase: str, seconds: float) -> None:
        raise KeyError(phase)

    with pytest.raises(BytewaxRuntimeError) as caught:
        CallRunner([[FakeRequest("k", "a")]], answer, observe=broken).run()
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, KeyError):
        cause = cause.__cause__
    assert cause is not None
