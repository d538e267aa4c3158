"""storage/cancellation: tasks end, even if a library discards a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from storage.cancellation import cancel_tasks


async def discard_first_cancellation() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def succeed() -> str:
    return "done"


async def fail() -> None:
    raise ValueError


async def test_a_task_that_discards_a_cancellation_ends() -> None:
    tasks = [asyncio.create_task(job) for job in (succeed(), discard_first_cancellation(), fail())]
    await asyncio.sleep(0)
    result, cancellation, error = await cancel_tasks(task for task in tasks)
    assert result == "done"
    assert isinstance(cancellation, asyncio.CancelledError)
    assert isinstance(error, ValueError)


async def test_no_tasks_are_no_error() -> None:
    assert await cancel_tasks([]) == []


async def test_a_caller_that_is_cancelled_leaves_no_task_behind() -> None:
    is_released = asyncio.Event()

    async def end_late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await is_released.wait()

    async def cancel_all() -> None:
        await cancel_tasks([late])

    late = asyncio.create_task(end_late())
    await asyncio.sleep(0)
    caller = asyncio.create_task(cancel_all())
    await asyncio.sleep(0)
    # A task that waits for the caller may cancel it more than once.
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    is_released.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert late.done()
