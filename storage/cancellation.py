"""Cancellation of tasks that call stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

REPEAT_S = 1.0
"""Seconds until a task that goes on is cancelled once more."""


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


async def cancel_tasks(tasks: Iterable[asyncio.Future[Any]]) -> list[Any]:
    """Cancel tasks until each of them has ended.

    One cancellation may be lost: until Python 3.12, `asyncio.wait_for` discards it if its result comes at the same time
    (github.com/python/cpython/issues/86296), and clients of stores call it while they connect.

    Args:
        tasks: the tasks.

    Returns:
        Their results and exceptions, in the same order.
    """
    ordered = list(tasks)
    pending = set(ordered)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=REPEAT_S)
    return await asyncio.gather(*ordered, return_exceptions=True)
