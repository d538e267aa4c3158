"""Whether an engine still works: one that is only busy is not mistaken for one that is dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from operators.errors import Unavailable

ALIVE_S = 4.0
"""Seconds for which an engine that gave a token counts as alive without being asked."""
PATIENCE_S = 6.0
"""Seconds in which an engine that is asked for a token must give one, to whomever."""
FIRST_S = 60.0
"""The same for its very first: models are loaded and compiled for it."""


class Liveness:
    """What a service knows of its engine's health.

    Args:
        ask: asks the engine for a token: its `check_health`.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._gave: float | None = None
        """When the engine last gave something, by the monotonic clock."""

    def gave(self) -> None:
        """The engine gave something, to whomever."""
        self._gave = time.monotonic()

    async def check(self) -> None:
        """Ask the engine for a token, unless it gave one a moment ago.

        An engine that is only busy may keep the token it is asked for waiting. What it gives to others tells that it works.

        Raises:
            Unavailable: the engine does not work, or gave nothing to anybody for `PATIENCE_S`.
        """
        asked, gave = time.monotonic(), self._gave
        if gave is not None and asked - gave < ALIVE_S:
            return
        patience = FIRST_S if gave is None else PATIENCE_S
        try:
            async with asyncio.timeout(patience):
                await self._ask()
        except TimeoutError:
            if self._gave == gave:
                raise Unavailable(f"the engine gave no token within {patience:.0f} s") from None
        else:
            self.gave()
