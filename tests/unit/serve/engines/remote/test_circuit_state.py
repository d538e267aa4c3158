"""serve/engines/remote/circuit_state.py: every sequence of outcomes leads to the state that the rules name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.engines.remote.circuit_state import CircuitBreaker, CircuitState

MAX_FAILURE_COUNT = 3
OPEN_S = 30.0


def opened(at: float = 0.0) -> CircuitBreaker:
    """Return a breaker that opened at a time."""
    breaker = CircuitBreaker(MAX_FAILURE_COUNT, OPEN_S)
    for _ in range(MAX_FAILURE_COUNT):
        breaker.record_failure(at)
    return breaker


def test_consecutive_failures_open_the_breaker() -> None:
    breaker = CircuitBreaker(MAX_FAILURE_COUNT, OPEN_S)
    for count in range(MAX_FAILURE_COUNT):
        assert (breaker.state(0), breaker.wait_s(0)) == (CircuitState.CLOSED, 0)
        assert breaker.is_next_failure_last is (count == MAX_FAILURE_COUNT - 1)
        breaker.record_failure(0)
    assert (breaker.state(10), breaker.wait_s(10)) == (CircuitState.OPEN, OPEN_S - 10)


def test_a_success_resets_the_failures() -> None:
    breaker = CircuitBreaker(MAX_FAILURE_COUNT, OPEN_S)
    for _ in range(3):
        for _ in range(MAX_FAILURE_COUNT - 1):
            breaker.record_failure(0)
        breaker.record_success(0)
    assert breaker.state(0) is CircuitState.CLOSED


def test_a_success_closes_a_half_open_breaker() -> None:
    breaker = opened()
    assert breaker.state(OPEN_S) is CircuitState.HALF_OPEN
    assert breaker.wait_s(OPEN_S) == 0
    breaker.record_success(OPEN_S)
    assert breaker.state(OPEN_S) is CircuitState.CLOSED
    assert not breaker.is_next_failure_last


def test_a_failure_opens_a_half_open_breaker_again() -> None:
    breaker = opened()
    breaker.record_failure(OPEN_S + 5)
    assert breaker.wait_s(OPEN_S + 5) == OPEN_S


def test_outcomes_of_older_requests_leave_the_breaker_open() -> None:
    breaker = opened()
    breaker.record_failure(20)
    breaker.record_success(25)
    assert (breaker.state(25), breaker.wait_s(25)) == (CircuitState.OPEN, OPEN_S - 25)


def test_a_block_holds_in_every_state() -> None:
    for breaker in (CircuitBreaker(MAX_FAILURE_COUNT, OPEN_S), opened(-OPEN_S)):
        before = breaker.state(0)
        breaker.block(7)
        breaker.block(3)
        assert (breaker.state(0), breaker.wait_s(0), breaker.blocked_s(0)) == (CircuitState.OPEN, 7, 7)
        assert breaker.state(7) is before
    # The longer of block and opening counts.
    breaker = opened()
    breaker.block(7)
    assert (breaker.wait_s(0), breaker.blocked_s(0), breaker.blocked_s(8)) == (OPEN_S, 7, 0)


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans())))
def test_a_breaker_passes_requests_again_after_any_outcomes(outcomes: list[tuple[float, bool]]) -> None:
    breaker, now = CircuitBreaker(MAX_FAILURE_COUNT, OPEN_S), 0.0
    failure_count = 0
    for passed_s, is_success in outcomes:
        now += passed_s
        before = breaker.state(now)
        if is_success:
            breaker.record_success(now)
            failure_count = 0
        else:
            breaker.record_failure(now)
            failure_count += 1
        after = breaker.state(now)
        assert breaker.wait_s(now) <= OPEN_S + 1e-6
        assert breaker.state(now + OPEN_S) is not CircuitState.OPEN
        match before:
            case CircuitState.OPEN:
                assert after is CircuitState.OPEN
            case CircuitState.HALF_OPEN:
                assert after is (CircuitState.CLOSED if is_success else CircuitState.OPEN)
            case CircuitState.CLOSED:
                assert after is (CircuitState.OPEN if failure_count >= MAX_FAILURE_COUNT else CircuitState.CLOSED)
