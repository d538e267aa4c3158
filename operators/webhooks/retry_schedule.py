"""The schedule of repeated attempts for a failed delivery: the first day of that of Standard Webhooks, with jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

PAUSES_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0)
"""Seconds from the first, second, … failed attempt to the next one. After the last pause the day is over."""
JITTER = 0.2
"""Largest fraction by which a pause is longer than in the schedule, so that many deliveries don't return together."""
GIVE_UP_AFTER = timedelta(days=1)
"""Age of a delivery at which a failed attempt is its last one."""


def next_attempt_at(
    attempts: int, queued_at: datetime, now: datetime, *, retry_after_s: float | None, random: float
) -> datetime | None:
    """Return when to attempt a delivery again; None to give it up.

    The last attempt is a day after the delivery was queued, even if the receiver asks for a later one.

    Args:
        attempts: number of attempts that failed, at least 1.
        queued_at: when the delivery was queued or replayed.
        now: the current time.
        retry_after_s: seconds that the receiver asked to wait; None if it did not.
        random: a random number from 0 to 1, for the jitter.
    """
    last_attempt_at = queued_at + GIVE_UP_AFTER
    if now >= last_attempt_at:
        return None
    pause_s = PAUSES_S[min(attempts, len(PAUSES_S)) - 1] * (1 + JITTER * random)
    return min(now + timedelta(seconds=max(pause_s, retry_after_s or 0.0)), last_attempt_at)


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Read a header `Retry-After`: seconds, or a date (RFC 9110).

    Args:
        value: the header's value.
        now: the current time.

    Returns:
        The seconds to wait, at most `GIVE_UP_AFTER`; None if the value can't be read.
    """
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(0.0, seconds), GIVE_UP_AFTER.total_seconds())
