"""The limits of the GraphQL API: requests by plan, and two mutations with limits of their own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

PlanName = Literal["free", "pro", "business", "enterprise"]
DAY_S, HOUR_S, MINUTE_S = 86_400.0, 3_600.0, 60.0


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """At most `count` requests in any `period_s` seconds."""

    count: int
    period_s: float


REQUEST_LIMITS: dict[PlanName, RequestLimit] = {
    "free": RequestLimit(50, DAY_S),
    "pro": RequestLimit(50, DAY_S),
    "business": RequestLimit(60, MINUTE_S),
    "enterprise": RequestLimit(60, MINUTE_S),
}
"""Limit of all requests of a plan."""
INVITATION_LIMIT = RequestLimit(3, 20 * MINUTE_S)
"""Limit of `addToLiveMeeting`."""
STATE_CHANGE_LIMIT = RequestLimit(10, HOUR_S)
"""Limit of `updateMeetingState`."""
MAX_PAGE_COUNT, MAX_SKIP_COUNT = 50, 5_000
"""Most transcripts in a page, and most transcripts that a page may skip."""


class SlidingWindow:
    """Counts the admitted requests of the last period.

    Args:
        limit: the limit.
    """

    def __init__(self, limit: RequestLimit) -> None:
        self._limit = limit
        self._admitted_at: deque[float] = deque()

    def admit(self, now: float) -> float:
        """Admit a request if the limit allows it. A refused request doesn't count.

        Args:
            now: the time, in seconds. It never decreases.

        Returns:
            0 if the request is admitted, else the seconds until one will be.
        """
        while self._admitted_at and self._admitted_at[0] <= now - self._limit.period_s:
            self._admitted_at.popleft()
        if len(self._admitted_at) < self._limit.count:
            self._admitted_at.append(now)
            return 0.0
        return self._admitted_at[0] + self._limit.period_s - now
