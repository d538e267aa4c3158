"""Whether an engine still works: one that is only busy is not mistaken for one that is dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from operators.errors import UnavailableError

RECENT_OUTPUT_S = 4.0
"""Seconds for which an engine that gave a token counts as alive without being asked."""
PROBE_TIMEOUT_S = 6.0
"""Seconds in which an engine that is asked for a token must give one, to whomever."""
FIRST_PROBE_TIMEOUT_S = 60.0
"""The same for its very first: models are loaded and compiled for it."""


class EngineHealthCheck:
    """What a service knows of its engine's health.

    Args:
        ask: asks the engine for a token: its `check_health`.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]]) -> None:
        self._probe = probe
        self._last_output_at: float | None = None
        """When the engine last gave something, by the monotonic clock."""

    def record_output(self) -> None:
        """The engine gave something, to whomever."""
        self._last_output_at = time.monotonic()

    async def check(self) -> None:
        """Ask the engine for a token, unless it gave one a moment ago.

        An engine that is only busy may keep the token it is asked for waiting. What it gives to others tells that it works.

        Raises:
            UnavailableError: the engine does not work, or gave nothing to anybody for `PATIENCE_S`.
        """
        started_at, last_output_at = time.monotonic(), self._last_output_at
        if last_output_at is not None and started_at - last_output_at < RECENT_OUTPUT_S:
            return
        timeout_s = FIRST_PROBE_TIMEOUT_S if last_output_at is None else PROBE_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                await self._probe()
        except TimeoutError:
            if self._last_output_at == last_output_at:
                raise UnavailableError(f"the engine gave no token within {timeout_s:.0f} s") from None
        else:
            self.record_output()
