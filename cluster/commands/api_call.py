"""API calls of commands to a running system."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # Showing a command's help doesn't need it.
    from cluster.api_client import ApiClient

_Result = TypeVar("_Result")


def call_api(url: str, request: Callable[[ApiClient], Awaitable[_Result]]) -> _Result:
    """Run a request against the system at a URL, and return its result.

    Args:
        url: the system's URL.
        request: sends the request with a client that is open while it runs.

    Raises:
        ApiError: the server rejected the request.
        UnavailableError: the server could not be reached.
    """
    from cluster.api_client import ApiClient

    async def run_request() -> _Result:
        async with ApiClient(url) as client:
            return await request(client)

    return asyncio.run(run_request())
