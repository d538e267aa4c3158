"""Failover between the translation engines: each is a Serve application, and the preferred one comes first.

While a preferred engine starts, or after it died, the next engine translates, and its captions name it. The preferred
engine takes over again as soon as a health probe succeeds: it must produce one token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from ray.serve.exceptions import BackPressureError

from flows.translation.serve_client import TranslationClient, translation_is_off
from operators.engine_config import DEFAULT_TRANSLATION_APP
from operators.errors import DeferredError, MalformedResponseError, UnavailableError
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.postgres.engine_config_versions import EngineConfigWatcher

PREFERRED_TIMEOUT_S = 5.0
"""Seconds before a call fails over to the next engine: half of a live caption's deadline."""
PROBE_TIMEOUT_S = 30.0
"""Seconds that a health probe may take."""
PROBE_PAUSE_S = 0.5
"""Seconds after a failed probe before the next one can start."""
DEFER_AFTER_S = 10.0
"""Seconds to retry requests that only an unavailable engine can translate, before they are deferred: a live caption's
deadline."""
MAX_RETRY_AFTER_S = 30.0
"""Longest `UnavailableError.retry_after_s` to pass on from the last engine: a preferred one may be back sooner."""

log = structlog.get_logger(__name__)


def configured_applications(following: EngineConfigWatcher) -> Callable[[], Sequence[str] | None]:
    """Return a function that reads the translation applications from the configuration in force.

    The function returns None while the configuration is not known yet, and no names while translation is off.
    """

    def names() -> Sequence[str] | None:
        if not following.is_loaded:
            return None
        version = following.current
        return (DEFAULT_TRANSLATION_APP,) if version is None else version.config.serve_app_names("translation")

    return names


class EngineFailover:
    """Calls the most preferred engine that is healthy. Several event loops may use it, each in its own thread.

    Args:
        names: returns the application names, the preferred one first. It returns none if translation is off, and None if
            the configuration is not known yet.
        defer: whether to raise `DeferredError` for a request that only an unavailable engine can translate. It is raised once
            the engine has been unavailable for `DEFER_AFTER_S`. A lane needs this: retries of such requests would occupy
            its calls in flight, and requests that the last engine can translate would wait.
    """

    def __init__(self, names: Callable[[], Sequence[str] | None], *, defer: bool = False) -> None:
        self._names, self._defer = names, defer
        self._applications: dict[tuple[asyncio.AbstractEventLoop, str], TranslationClient] = {}
        self._healthy: set[str] = set()
        self._unavailable_since: dict[str, float] = {}
        """The time at which each unavailable application was first found so, on the monotonic clock."""
        self._probes: dict[str, asyncio.Task[None]] = {}

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate with the most preferred engine that is healthy.

        Raises:
            UnavailableError: no engine answers; or an unavailable engine is preferred, and the last one can't translate this.
            DeferredError: the second case, once all preferred engines have been unavailable for `DEFER_AFTER_S`.
        """
        names = self._names()
        if names is None:
            raise UnavailableError("the engine configuration is not known yet")
        if not names:
            return await translation_is_off(request)
        *preferred, last = names
        for name in preferred:
            if name not in self._healthy:
                self._start_probe(name)
                continue
            try:
                async with asyncio.timeout(PREFERRED_TIMEOUT_S):
                    return await self._application(name).translate(request)
            except (UnavailableError, TimeoutError) as error:
                # A malformed answer or backpressure fails over for this request only: the engine stays healthy.
                if not isinstance(error, MalformedResponseError) and not isinstance(error.__cause__, BackPressureError):
                    self._healthy.discard(name)
        try:
            translation = await self._application(last).translate(request)
        except UnavailableError as error:
            if preferred and error.retry_after_s is not None and error.retry_after_s > MAX_RETRY_AFTER_S:
                raise UnavailableError("the last engine asks for a longer pause", MAX_RETRY_AFTER_S) from error
            raise
        if preferred and translation.status is CaptionStatus.UNTRANSLATED:
            # A caption that only a preferred engine can translate stays pending until that engine is back.
            if self._defer and all(map(self._is_long_unavailable, preferred)):
                raise DeferredError("the engine that could translate this has been unavailable for a while")
            raise UnavailableError("the engine that could translate this is unavailable")
        return translation

    def _application(self, name: str) -> TranslationClient:
        # Clients are per event loop: a task of one loop can't wake a waiter in another loop.
        return self._applications.setdefault((asyncio.get_running_loop(), name), TranslationClient(name))

    def _is_long_unavailable(self, name: str) -> bool:
        now = time.monotonic()
        return now - self._unavailable_since.get(name, now) > DEFER_AFTER_S

    def _start_probe(self, name: str) -> None:
        self._unavailable_since.setdefault(name, time.monotonic())
        probe = self._probes.get(name)
        if probe is None or probe.done():
            self._probes[name] = asyncio.create_task(self._probe(name))

    async def _probe(self, name: str) -> None:
        try:
            # The handle waits for a replica that is starting, so a probe needs a timeout.
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._application(name).check_ready()
        except Exception as error:  # noqa: BLE001 - any error means that the probe failed: it is repeated after a pause
            if not isinstance(error, UnavailableError | TimeoutError):
                log.warning("health probe failed unexpectedly", application=name, error=type(error).__name__)
            await asyncio.sleep(PROBE_PAUSE_S)
        else:
            self._healthy.add(name)
            self._unavailable_since.pop(name, None)
