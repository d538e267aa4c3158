"""Cancellation of tasks that call stores, and of the callers that wait for a shared task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

REPEAT_S = 1.0
"""Seconds until a task that continues is cancelled once more."""


def raise_if_cancelled() -> None:
    """End the current task if it was cancelled.

    Call it in each loop that survives a store's errors. A call that is cancelled rolls its transaction back. If that fails, its
    error replaces the cancellation, so the loop would continue for ever.

    Raises:
        asyncio.CancelledError: the task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel_tasks(tasks: Iterable[asyncio.Future[Any]]) -> list[Any]:
    """Cancel tasks until each of them has ended.

    One cancellation may be lost: until Python 3.12, `asyncio.wait_for` discards it if its result comes at the same time
    (github.com/python/cpython/issues/86296). Clients of stores call `wait_for` while they connect.

    A caller that is cancelled meanwhile waits, too: tasks that it left behind would run on.

    Args:
        tasks: the tasks.

    Returns:
        Their results and exceptions, in the same order.

    Raises:
        asyncio.CancelledError: the caller was cancelled. The tasks have ended.
    """
    ordered = list(tasks)
    pending = set(ordered)
    is_cancelled = False
    loop = asyncio.get_running_loop()
    repeat_at = loop.time()
    while pending:
        if loop.time() >= repeat_at:
            for task in pending:
                task.cancel()
            repeat_at = loop.time() + REPEAT_S
        try:
            await asyncio.wait(pending, timeout=repeat_at - loop.time())
        except asyncio.CancelledError:
            is_cancelled = True
        pending = {task for task in pending if not task.done()}
    if is_cancelled:
        raise asyncio.CancelledError
    return await asyncio.gather(*ordered, return_exceptions=True)


def retrieve_exception(task: asyncio.Future[Any]) -> None:
    """Retrieve a task's exception, so that asyncio doesn't log it if all callers that wait for the task were cancelled.

    Args:
        task: a task that has ended. Pass the function to its `add_done_callback`.
    """
    if not task.cancelled():
        task.exception()
