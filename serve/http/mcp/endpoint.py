"""The ASGI application at `/mcp`. It starts the SDK's server at the first request, because most systems get none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.types import Receive, Scope, Send

from operators.errors import UnavailableError
from serve.http.dependencies.services import Services
from storage.cancellation import cancel_tasks, retrieve_exception

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

log = structlog.get_logger(__name__)


class McpEndpoint:
    """The ASGI application. Mount it as a route for POST: without sessions, GET and DELETE have no meaning."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None

    @asynccontextmanager
    async def run(self, services: Services) -> AsyncGenerator[None]:
        """Answer requests inside the `async with` block.

        Args:
            services: the services of the replica.
        """
        self._manager = asyncio.get_running_loop().create_future()
        self._manager.add_done_callback(retrieve_exception)
        # The SDK's tasks must end in the task in which they begin.
        task = asyncio.create_task(self._serve(services, self._manager))
        try:
            yield
        finally:
            await cancel_tasks([task])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the protocol."""
        if self._manager is None:
            raise UnavailableError("the endpoint has not started; try again")
        self._requested.set()
        # A client that leaves must not cancel the start for the others.
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)

    async def _serve(self, services: Services, started: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        await self._requested.wait()
        try:
            # The import would delay live events.
            manager = await asyncio.to_thread(_build_session_manager, services)
            async with manager.run():
                started.set_result(manager)
                await asyncio.Event().wait()
        except Exception as error:
            log.error("the MCP endpoint can't answer", error=type(error).__name__)
            if not started.done():
                started.set_exception(error)
            raise


def _build_session_manager(services: Services) -> StreamableHTTPSessionManager:
    from serve.http.mcp.server import build_session_manager

    return build_session_manager(services)
