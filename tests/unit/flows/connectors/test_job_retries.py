"""The decision after a failed attempt of an import."""

from __future__ import annotations

import pytest

from flows.connectors.fireflies.job_retries import MAX_ATTEMPTS, decide_retry
from operators.errors import (
    ConflictError,
    MisconfiguredError,
    NotFoundError,
    OverloadedError,
    ParleyError,
    UnavailableError,
)


def test_a_spent_budget_waits_for_its_window_and_costs_no_attempt() -> None:
    decision = decide_retry(OverloadedError("request_budget", "none is left", 7_200), MAX_ATTEMPTS - 1)
    assert (decision.wait_s, decision.attempts) == (7_200.0, MAX_ATTEMPTS - 1)
    assert decision.detail.startswith("it waits")


def test_a_refusal_that_names_a_time_is_believed() -> None:
    assert decide_retry(UnavailableError("too many requests", 90.0), 3).wait_s == 90.0


@pytest.mark.parametrize("error", [MisconfiguredError("the key"), NotFoundError("nothing")])
def test_an_error_that_stays_fails_at_once(error: ParleyError) -> None:
    assert decide_retry(error, 0).wait_s is None


def test_other_errors_are_tried_again_with_growing_pauses() -> None:
    pauses = [decide_retry(ConflictError("live", "wait"), attempts).wait_s for attempts in range(MAX_ATTEMPTS)]
    assert pauses[-1] is None
    assert all(pause is not None for pause in pauses[:-1])
    assert pauses[:-1] == sorted(pauses[:-1], key=lambda pause: pause or 0)
