"""cluster/fireflies_sim/request_limits.py: the limits of the plans and of two mutations."""

from __future__ import annotations

import pytest

from cluster.fireflies_sim.request_limits import (
    INVITATION_LIMIT,
    REQUEST_LIMITS,
    STATE_CHANGE_LIMIT,
    RequestLimit,
    SlidingWindow,
)


@pytest.mark.parametrize(
    ("limit", "count", "period_s"),
    [
        (REQUEST_LIMITS["free"], 50, 86_400),
        (REQUEST_LIMITS["pro"], 50, 86_400),
        (REQUEST_LIMITS["business"], 60, 60),
        (REQUEST_LIMITS["enterprise"], 60, 60),
        (INVITATION_LIMIT, 3, 1_200),
        (STATE_CHANGE_LIMIT, 10, 3_600),
    ],
)
def test_a_limit_admits_its_count_in_its_period(limit: RequestLimit, count: int, period_s: int) -> None:
    window = SlidingWindow(limit)
    assert [window.admit(100.0 + number / 1000) for number in range(count)] == [0.0] * count
    assert window.admit(101.0) == pytest.approx(period_s - 1)
    assert window.admit(100.0 + period_s) == 0.0


def test_a_refused_request_does_not_count() -> None:
    window = SlidingWindow(RequestLimit(1, 10))
    assert window.admit(0.0) == 0.0
    assert [window.admit(now) for now in (1.0, 5.0, 9.0)] == [9.0, 5.0, 1.0]
    assert window.admit(10.0) == 0.0
