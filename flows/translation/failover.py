"""The ways to a translation: the applications of the engines that serve it, the preferred one first.

While a better one starts, or after it died, the next one answers, and its captions say so; the better one takes over again as
soon as it gives a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from ray.serve.exceptions import BackPressureError

from flows.translation.serve_client import TranslationClient, translation_is_off
from operators.errors import Deferred, Malformed, Unavailable
from operators.models import TRANSLATION_APP
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.configs import Following

PREFERRED_TIMEOUT_S = 5.0
"""Seconds that a better engine gets for an answer where another one could give it: half of a live caption's deadline."""
PROBE_TIMEOUT_S = 30.0
"""Seconds that an engine that was away gets to show that it answers."""
PROBE_PAUSE_S = 0.5
"""Seconds before it is asked again, where it said at once that it doesn't."""
DEFER_AFTER_S = 10.0
"""Seconds for which what only an engine that is away can do is tried again: a live caption's deadline."""
MAX_RETRY_AFTER_S = 30.0
"""Seconds to wait at most for the last engine, whatever it asks for: a better one may be back sooner."""

log = structlog.get_logger(__name__)


def configured_applications(following: Following) -> Callable[[], Sequence[str] | None]:
    """The applications that translate, as the configuration says now; None where it isn't known yet."""

    def ways() -> Sequence[str] | None:
        if not following.known:
            return None
        now = following.current
        return (TRANSLATION_APP,) if now is None else now.config.applications("translation")

    return ways


class EngineFailover:
    """Asks the best application that answers. Calls may come from several event loops, each in a thread of its own.

    Args:
        names: the applications, the preferred one first; none where translation is off; None where that isn't known.
        defer: whether to give up what only an engine can do that has been away for `AWAY`. A lane does: such calls would
            keep their turns, and others that the last engine can answer would wait.
    """

    def __init__(self, names: Callable[[], Sequence[str] | None], *, defer: bool = False) -> None:
        self._names, self._defer = names, defer
        self._applications: dict[tuple[asyncio.AbstractEventLoop, str], TranslationClient] = {}
        self._healthy: set[str] = set()
        self._away_since: dict[str, float] = {}
        """Since when an application doesn't answer."""
        self._probes: dict[str, asyncio.Task[None]] = {}

    async def translate(self, request: TranslationRequest) -> Translation:
        """Ask for a translation.

        Raises:
            Unavailable: none answers; or the preferred one is away, and the others can't translate this.
            Deferred: the same, where it has been away for a while.
        """
        names = self._names()
        if names is None:
            raise Unavailable("the models' configuration is not known yet")
        if not names:
            return await translation_is_off(request)
        *better, last = names
        for name in better:
            if name not in self._healthy:
                self._start_probe(name)
                continue
            try:
                async with asyncio.timeout(PREFERRED_TIMEOUT_S):
                    return await self._application(name).translate(request)
            except (Unavailable, TimeoutError) as error:
                # One that has much to do is no worse for it, nor one that gave a broken answer to this; the next one helps out.
                if not isinstance(error, Malformed) and not isinstance(error.__cause__, BackPressureError):
                    self._healthy.discard(name)
        try:
            answer = await self._application(last).translate(request)
        except Unavailable as error:
            if better and error.wait is not None and error.wait > MAX_RETRY_AFTER_S:
                raise Unavailable("the last engine asks to be left alone", MAX_RETRY_AFTER_S) from error
            raise
        if better and answer.status is CaptionStatus.UNTRANSLATED:
            # What only the preferred one can translate is owed until it is there.
            if self._defer and all(map(self._is_long_away, better)):
                raise Deferred("the engine that could translate this has been away for a while")
            raise Unavailable("the engine that could translate this is away")
        return answer

    def _application(self, name: str) -> TranslationClient:
        # An application is for one loop: a task of one that another one waits for would not wake it.
        return self._applications.setdefault((asyncio.get_running_loop(), name), TranslationClient(name))

    def _is_long_away(self, name: str) -> bool:
        now = time.monotonic()
        return now - self._away_since.get(name, now) > DEFER_AFTER_S

    def _start_probe(self, name: str) -> None:
        self._away_since.setdefault(name, time.monotonic())
        probe = self._probes.get(name)
        if probe is None or probe.done():
            self._probes[name] = asyncio.create_task(self._probe(name))

    async def _probe(self, name: str) -> None:
        try:
            # A handle waits for a replica that starts.
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._application(name).check_ready()
        except Exception as error:  # noqa: BLE001 - whatever it raised, it gave no token, and is asked again after a pause
            if not isinstance(error, Unavailable | TimeoutError):
                log.warning("an engine's health can't be checked", application=name, error=type(error).__name__)
            await asyncio.sleep(PROBE_PAUSE_S)
        else:
            self._healthy.add(name)
            self._away_since.pop(name, None)
