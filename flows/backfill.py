"""The backfill pays what is owed: captions that a live lane gave up, that a lane took with it when it died, or that a
language added later asks for. It has the lowest priority, so it makes few calls at once and none while it is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import redis
import structlog
from sqlalchemy import Engine

from operators.errors import Unavailable
from operators.model import CaptionStatus, Translation, TranslationRequest
from storage.changes import Answer
from storage.commit import pay
from storage.live import publish_events
from storage.owed import owed, postpone

AT_ONCE = 4
"""Calls at once, and requests taken in one round."""
ATTEMPTS = 5
"""Errors other than being unavailable, after which a sentence counts as untranslatable."""
DEADLINE = 20.0
"""Seconds one call may take."""
LAST_WAIT = 15.0
"""Seconds a debt is left alone at most after it could not be paid; the first time it is one second."""
REMEMBERED = 10_000
"""Requests whose failures are remembered."""

log = structlog.get_logger(__name__)


class Backfill:
    """Pays what is owed, a few at a time, fair between meetings.

    Args:
        translate: the translation service. It raises `Unavailable` for what may pass.
    """

    def __init__(
        self,
        engine: Engine,
        connection: redis.Redis,
        translate: Callable[[TranslationRequest], Awaitable[Translation]],
    ) -> None:
        self._engine = engine
        self._redis = connection
        self._translate = translate
        self._failures: dict[TranslationRequest, int] = {}

    async def round(self) -> int:
        """Pay the next few.

        Returns:
            How many were paid; 0 where nothing is owed, or where the service can't be had.
        """
        requests = await asyncio.to_thread(self._owed)
        answers = [a for a in await asyncio.gather(*(self._ask(r) for r in requests)) if a is not None]
        paid = [a for a in answers if a.translation is not None]
        for answer in paid:
            self._failures.pop(answer.request, None)
        if requests:
            await asyncio.to_thread(self._pay, paid, [r for r in requests if r not in {a.request for a in paid}])
        return len(paid)

    async def _ask(self, request: TranslationRequest) -> Answer | None:
        failures = self._failures[request] = self._failures.get(request, 0) + 1
        try:
            async with asyncio.timeout(DEADLINE):
                translation = await self._translate(request)
        except (Unavailable, TimeoutError) as error:
            log.info("backfill waits", meeting=request.meeting_id, error=type(error).__name__)
            return None
        except Exception as error:  # noqa: BLE001 - a sentence that breaks the service must not stop the others
            reason = f"failed {failures} times: {type(error).__name__}"
            log.warning("backfill failed", meeting=request.meeting_id, sentence=request.sentence_id, reason=reason)
            if failures < ATTEMPTS:
                return None
            translation = Translation(CaptionStatus.UNTRANSLATED, None, "", reason)
        return Answer(request, translation, 1)

    def _owed(self) -> list[TranslationRequest]:
        with self._engine.begin() as connection:
            return owed(connection, AT_ONCE)

    def _pay(self, answers: list[Answer], unpaid: list[TranslationRequest]) -> None:
        with self._engine.begin() as connection:
            events = pay(connection, answers)
            if unpaid:
                postpone(connection, {r: min(LAST_WAIT, 2.0 ** (self._failures[r] - 1)) for r in unpaid})
        publish_events(self._redis, events)
        if len(self._failures) > REMEMBERED:
            self._failures.clear()
