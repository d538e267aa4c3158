"""Cancellation of tasks that call stores."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """End the current task if it was cancelled.

    Call it in each loop that survives a store's errors. A call that is cancelled rolls its transaction back. If that fails, its
    error replaces the cancellation, so the loop would go on for ever.

    Raises:
        asyncio.CancelledError: the task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
