"""State of a circuit breaker: closed, open after consecutive failures, half open until one outcome decides. No clock, no I/O."""

from __future__ import annotations

import math
from enum import IntEnum


class CircuitState(IntEnum):
    """The states, by their value in the metric `parley_engine_breaker`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """The state machine of a circuit breaker. Each time is in seconds on the caller's monotonic clock.

    - Closed: requests pass. `max_failure_count` consecutive failures open it.
    - Open: no request passes for `open_s`. Then it is half open.
    - Half open: a success closes it, and a failure opens it again.

    Args:
        max_failure_count: consecutive failures that open the breaker.
        open_s: seconds from the opening until the breaker is half open.
    """

    def __init__(self, max_failure_count: int, open_s: float) -> None:
        self._max_failure_count, self._open_s = max_failure_count, open_s
        self._failure_count = 0
        self._open_until: float | None = None
        """The end of the last opening; None while the breaker is closed."""
        self._blocked_until = -math.inf

    @property
    def is_next_failure_last(self) -> bool:
        """Whether one more failure makes as many in a row as open the breaker."""
        return self._failure_count + 1 >= self._max_failure_count

    def state(self, now: float) -> CircuitState:
        """Return the state at a time."""
        if self.wait_s(now) > 0:
            return CircuitState.OPEN
        return CircuitState.CLOSED if self._open_until is None else CircuitState.HALF_OPEN

    def wait_s(self, now: float) -> float:
        """Return the seconds until a request may pass; 0 if it may pass now."""
        return max(0.0, self.blocked_s(now), -math.inf if self._open_until is None else self._open_until - now)

    def blocked_s(self, now: float) -> float:
        """Return the seconds until the end of the block; 0 if there is none."""
        return max(0.0, self._blocked_until - now)

    def block(self, until: float) -> None:
        """Let no request pass until a time, whatever the outcomes are. A shorter block changes nothing."""
        self._blocked_until = max(self._blocked_until, until)

    def record_success(self, now: float) -> None:
        """Count an answer. It closes a half-open breaker. An open breaker stays open: its requests are older than its opening."""
        self._failure_count = 0
        if self._is_half_open(now):
            self._open_until = None

    def record_failure(self, now: float) -> None:
        """Count a failure. It opens a breaker that is half open, or closed after the failures before it."""
        self._failure_count += 1
        if self._is_half_open(now) or (self._open_until is None and self._failure_count >= self._max_failure_count):
            self._open_until = now + self._open_s

    def _is_half_open(self, now: float) -> bool:
        return self._open_until is not None and now >= self._open_until
