"""operators/webhooks/retry_schedule.py: pauses grow over a day, and the receiver's wish counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.webhooks.retry_schedule import GIVE_UP_AFTER, next_attempt_at, parse_retry_after

START = datetime(2026, 11, 30, 9, tzinfo=UTC)


def attempt_times(random: float, retry_after_s: float | None = None) -> list[float]:
    """The times of all attempts that fail, in seconds from the first."""
    times, now = [0.0], START
    while True:
        following = next_attempt_at(len(times), START, now, retry_after_s=retry_after_s, random=random)
        if following is None:
            return times
        now = following
        times.append((now - START).total_seconds())


def test_the_schedule_is_that_of_the_standard_up_to_a_day() -> None:
    assert attempt_times(0.0) == [0.0, 5.0, 305.0, 2_105.0, 9_305.0, 27_305.0, 63_305.0, 86_400.0]


@given(st.floats(0, 1), st.one_of(st.none(), st.floats(0, 90_000)))
def test_the_last_attempt_is_after_a_day_and_none_comes_early(random: float, retry_after_s: float | None) -> None:
    times = attempt_times(random, retry_after_s)
    assert times[-1] == GIVE_UP_AFTER.total_seconds()
    pauses = [later - earlier for earlier, later in pairwise(times)]
    planned = [0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0]
    for pause, least in zip(pauses[:-1], planned[1:], strict=False):
        assert pause >= max(least, retry_after_s or 0.0) - 0.001


def test_a_delivery_that_waited_a_day_for_its_turn_gets_one_attempt() -> None:
    assert next_attempt_at(1, START, START + timedelta(days=2), retry_after_s=None, random=0.5) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999", 86_400.0),
        ("99999999999999999999", None),
        ("Mon, 30 Nov 2026 09:01:00 GMT", 60.0),
        ("Mon, 30 Nov 2026 08:00:00 GMT", 0.0),
        ("Mon, 30 Nov 2026 09:01:00 -0000", 60.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, START) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_survived(value: str) -> None:
    seconds = parse_retry_after(value, START)
    assert seconds is None or 0 <= seconds <= 86_400
