"""The wait of a request for what the maintenance actor finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MAX_WAIT_S = 120.0
"""Most seconds that a request may wait."""
POLL_S = 0.25
"""Seconds between two checks whether a result is finished."""

T = TypeVar("T")


async def wait_until_finished(
    database: AsyncEngine,
    result: T,
    read: Callable[[AsyncConnection], Awaitable[T]],
    is_pending: Callable[[T], bool],
    wait_s: float,
) -> T:
    """Return a result once it isn't pending, or as it is after the wait.

    Args:
        database: the database.
        result: the result as it is now.
        read: reads it again.
        is_pending: whether it isn't finished.
        wait_s: seconds to wait.
    """
    deadline = asyncio.get_running_loop().time() + wait_s
    while is_pending(result) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(POLL_S)
        async with database.connect() as conn:
            result = await read(conn)
    return result
