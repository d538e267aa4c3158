"""Calls of the Serve applications of a role: the most preferred one that is available answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from flows.serve_application import ServeApplication
from operators.errors import DeferredError, UnavailableError

log = structlog.get_logger(__name__)


class ApplicationFailover:
    """Calls the most preferred application that answers. Several event loops may use it, each in its own thread.

    Args:
        names: returns the applications' names, the preferred one first; none if no engine serves the role.
        purpose: what the applications do, for messages: `insights`.
    """

    def __init__(self, names: Callable[[], Sequence[str]], purpose: str) -> None:
        self._names, self._purpose = names, purpose
        self._applications: dict[tuple[asyncio.AbstractEventLoop, str], ServeApplication] = {}

    def is_configured(self) -> bool:
        """Whether an engine serves the role."""
        return bool(self._names())

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the first application that is available.

        Raises:
            DeferredError: no engine serves the role.
            UnavailableError: no engine is available. It is the error of the last one.
            RayTaskError: an engine can never answer this request. It is an instance of that error's type as well.
        """
        unavailable: UnavailableError | None = None
        for name in self._names():
            # Clients are per event loop: a task of one loop can't wake a waiter in another loop.
            key = (asyncio.get_running_loop(), name)
            application = self._applications.setdefault(key, ServeApplication(name, self._purpose))
            try:
                return await application.call(method, *arguments)
            except UnavailableError as error:
                log.info("an engine is unavailable", application=name, error=type(error).__name__)
                unavailable = error
        raise unavailable or DeferredError(f"no engine serves {self._purpose}")
