"""Health check of an engine, which tells a busy engine from an unresponsive one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from operators.errors import UnavailableError

RECENT_OUTPUT_S = 4.0
"""Seconds after an engine's last token during which it counts as healthy without a probe."""
PROBE_TIMEOUT_S = 6.0
"""Seconds within which a probed engine must produce a token, for the probe or for any other request."""
FIRST_PROBE_TIMEOUT_S = 60.0
"""The same for the engine's first token: models are loaded and compiled for it."""


class EngineHealthCheck:
    """Tracks whether a service's engine is healthy.

    Args:
        probe: has the engine produce a token: its `check_health`.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]]) -> None:
        self._probe = probe
        self._last_output_at: float | None = None
        """Time of the engine's last output, on the monotonic clock; None before its first."""

    def record_output(self) -> None:
        """Record that the engine produced output, for any request."""
        self._last_output_at = time.monotonic()

    async def check(self) -> None:
        """Probe the engine, unless it produced output within the last `RECENT_OUTPUT_S` seconds.

        A busy engine may answer the probe late. Output for other requests shows that it works.

        Raises:
            UnavailableError: the engine does not work, or produced no output for any request within `PROBE_TIMEOUT_S`
                (`FIRST_PROBE_TIMEOUT_S` before its first token).
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
                raise UnavailableError(f"the engine produced no token within {timeout_s:.0f} s") from None
        else:
            self.record_output()
