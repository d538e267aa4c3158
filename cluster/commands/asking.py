"""How commands ask a running system something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # A command that shows its help needs none of it.
    from cluster.client import Client

_Answer = TypeVar("_Answer")


def ask(url: str, question: Callable[[Client], Awaitable[_Answer]]) -> _Answer:
    """Ask the system at a URL something, over one connection."""
    from cluster.client import Client

    async def over_one_connection() -> _Answer:
        async with Client(url) as client:
            return await question(client)

    return asyncio.run(over_one_connection())
