"""The decision after a failed attempt of an import: when to try again, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass

from operators.errors import (
    InvalidInputError,
    MisconfiguredError,
    NotFoundError,
    OverloadedError,
    ParleyError,
    SetupError,
    UnavailableError,
)

MAX_ATTEMPTS = 5
"""Number of attempts, apart from those for which the budget of requests was spent."""
FIRST_RETRY_S, MAX_RETRY_S = 5.0, 600.0
"""Seconds before another attempt. The pause doubles from the first value up to the maximum."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """The decision.

    Attributes:
        wait_s: seconds until the next attempt; None if there is none.
        attempts: number of failed attempts so far.
        detail: the cause, in words for the user.
    """

    wait_s: float | None
    attempts: int
    detail: str


def decide_retry(error: ParleyError, attempts: int) -> RetryDecision:
    """Decide what follows from an error.

    Args:
        error: the error.
        attempts: number of attempts that failed before.
    """
    if isinstance(error, OverloadedError):
        return RetryDecision(float(error.retry_after_s), attempts, f"it waits: {error.fix}")
    if isinstance(error, MisconfiguredError | NotFoundError | InvalidInputError | SetupError):
        return RetryDecision(None, attempts + 1, str(error))
    if isinstance(error, UnavailableError) and error.retry_after_s is not None:
        return RetryDecision(error.retry_after_s, attempts, f"it waits: {error}")
    attempts += 1
    if attempts >= MAX_ATTEMPTS:
        return RetryDecision(None, attempts, f"{error}; {attempts} attempts failed")
    return RetryDecision(min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** (attempts - 1)), attempts, str(error))
