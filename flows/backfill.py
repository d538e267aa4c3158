"""The backfill pays what is owed: captions that a live lane gave up, that a lane took with it when it died, or that a
language added later asks for. It has the lowest priority: it goes by rounds, between which the service is free for others,
and makes more calls in the next one only while the service answers all of them promptly.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import redis
import structlog
from sqlalchemy import Engine

from operators.errors import Unavailable
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.changes import Answer
from storage.commit import pay
from storage.live import publish_events
from storage.owed import owed, postpone

LEAST, MOST = 4, 32
"""Calls at once, which is also a round: at first and where the service is busy or away, and what they grow to where it isn't."""
PROMPT = 1.0
"""Seconds within which a round must be answered for the next to be larger, else it is smaller. So long a live caption may
have to wait behind one: a tenth of its own deadline."""
ATTEMPTS = 5
"""Errors other than being unavailable, after which a sentence counts as untranslatable."""
DEADLINE = 20.0
"""Seconds one call may take."""
LAST_WAIT = 15.0
"""Seconds a debt is left alone at most after it could not be paid; the first time it is one second."""
REMEMBERED = 10_000
"""Debts whose failures are remembered."""

log = structlog.get_logger(__name__)

_Debt = tuple[str, str, str, int]


def _debt(request: TranslationRequest) -> _Debt:
    """What a request is to pay, however much of its context is translated by now."""
    return request.meeting_id, request.sentence_id, request.language, request.revision


class Backfill:
    """Pays what is owed, round by round, fair between meetings.

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
        self._at_once = LEAST
        self._tries = Counter[_Debt]()
        self._errors = Counter[_Debt]()

    async def round(self) -> int:
        """Pay the next few.

        Returns:
            How many were paid; 0 where nothing is owed, or where the service can't be had.
        """
        requests = await asyncio.to_thread(self._owed)
        if not requests:
            return 0
        began = time.monotonic()
        answers = [a for a in await asyncio.gather(*(self._ask(r) for r in requests)) if a is not None]
        self._adapt(len(requests), len(answers), time.monotonic() - began)
        paid = {a.request for a in answers}
        await asyncio.to_thread(self._pay, answers, [r for r in requests if r not in paid])
        for request in paid:
            del self._tries[_debt(request)], self._errors[_debt(request)]
        return len(paid)

    def _adapt(self, asked: int, answered: int, seconds: float) -> None:
        """Choose the size of the next round by how this one went."""
        if answered < asked:
            self._at_once = LEAST
        elif seconds > PROMPT:
            self._at_once = max(LEAST, self._at_once // 2)
        elif asked == self._at_once:
            self._at_once = min(MOST, 2 * self._at_once)

    async def _ask(self, request: TranslationRequest) -> Answer | None:
        self._tries[_debt(request)] += 1
        try:
            async with asyncio.timeout(DEADLINE):
                translation = await self._translate(request)
        except (Unavailable, TimeoutError) as error:
            log.info("backfill waits", meeting=request.meeting_id, error=type(error).__name__)
            return None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.info("backfill waits", meeting=request.meeting_id, error="CancelledError in the service")
            return None
        except Exception as error:  # noqa: BLE001 - a sentence that breaks the service must not stop the others
            self._errors[_debt(request)] += 1
            errors = self._errors[_debt(request)]
            reason = f"failed {errors} times: {type(error).__name__}"
            log.warning("backfill failed", meeting=request.meeting_id, sentence=request.sentence_id, reason=reason)
            if errors < ATTEMPTS:
                return None
            translation = Translation(CaptionStatus.UNTRANSLATED, None, "", reason)
        return Answer(request, translation, 1)

    def _owed(self) -> list[TranslationRequest]:
        with self._engine.begin() as connection:
            return owed(connection, self._at_once)

    def _pay(self, answers: list[Answer], unpaid: list[TranslationRequest]) -> None:
        with self._engine.begin() as connection:
            events = pay(connection, answers)
            if unpaid:
                postpone(connection, {r: min(LAST_WAIT, 2.0 ** min(self._tries[_debt(r)] - 1, 9)) for r in unpaid})
        publish_events(self._redis, events)
        if len(self._tries) > REMEMBERED:
            self._tries.clear()
            self._errors.clear()
