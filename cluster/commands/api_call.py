"""How commands ask a running system something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # A command that shows its help needs none of it.
    from cluster.api_client import ApiClient

_Result = TypeVar("_Result")


def call_api(url: str, request: Callable[[ApiClient], Awaitable[_Result]]) -> _Result:
    """Ask the system at a URL something, over one connection."""
    from cluster.api_client import ApiClient

    async def run_request() -> _Result:
        async with ApiClient(url) as client:
            return await request(client)

    return asyncio.run(run_request())
