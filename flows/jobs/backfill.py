"""The backfill pays what is owed: captions that a live lane gave up, that a lane took with it when it died, or that a
language added later asks for. It has the lowest priority: it goes by rounds, between which the service is free for others,
and makes more calls in the next one only while the service answers all of them promptly.

While the service is away, a caption is asked for again without end: nothing is given up for an outage. An attempt that
fails for a reason of its own (an error, a broken answer, none in time while others get theirs) is counted with the caption.
After `ATTEMPTS` of them, with growing pauses, it is `untranslated`, with the reason. What can't be stored fails alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import redis
import structlog
from sqlalchemy import Engine

from operators.errors import Malformed, Unavailable
from operators.translation import CaptionStatus, Translate, Translation, TranslationRequest
from storage.changes import Answer, DeadLetter, unstorable
from storage.commit import pay
from storage.live import publish_events
from storage.locked import LockedMeetings
from storage.measures import Measures
from storage.owed import note_failures, owed, postpone
from storage.records import Event
from storage.refused_content import write_parts
from storage.tracing import Traces

MIN_CALLS, MAX_CALLS = 4, 32
"""Calls at once, which is also a round: at first and where the service is busy or away, and what they grow to where it isn't."""
PROMPT_S = 1.0
"""Seconds within which a round must be answered for the next to be larger, else it is smaller. So long a live caption may
have to wait behind one: a tenth of its own deadline."""
MAX_ATTEMPTS = 5
"""Attempts that failed for a reason of their own, after which a sentence counts as untranslatable."""
FIRST_PAUSE_S, PAUSE_FACTOR = 1.0, 4.0
"""Seconds before the second attempt, and how many times as long the pause is before each further one: 85 s in all."""
CALL_TIMEOUT_S = 20.0
"""Seconds one call may take."""
MAX_OUTAGE_PAUSE_S = 15.0
"""Seconds a caption is left alone at most while the service is away; the first time it is one second."""
MAX_OUTAGES = 10_000
"""Captions of which it is remembered how often the service was away."""

log = structlog.get_logger(__name__)

_CaptionKey = tuple[str, str, str, int]


def _caption_key(request: TranslationRequest) -> _CaptionKey:
    """What a request is to pay, however much of its context is translated by now."""
    return request.meeting_id, request.sentence_id, request.language, request.revision


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How an attempt ended: with a translation, or with the reason why it failed, or the service was away (neither)."""

    request: TranslationRequest
    translation: Translation | None = None
    failure: str | None = None
    timed_out: bool = False
    dead: DeadLetter | None = None


class Backfill:
    """Pays what is owed, round by round, fair between meetings.

    Args:
        translate: the translation service. It raises `Unavailable` for what may pass.
    """

    def __init__(
        self,
        engine: Engine,
        connection: redis.Redis,
        translate: Translate,
    ) -> None:
        self._engine = engine
        self._redis = connection
        self._translate = translate
        self._batch_size = MIN_CALLS
        self._outages = Counter[_CaptionKey]()

    async def run_once(self) -> int:
        """Pay the next few.

        Returns:
            How many were answered; 0 where nothing is owed, or where the service can't be had.
        """
        requests = await asyncio.to_thread(self._pending)
        if not requests:
            return 0
        began = time.monotonic()
        attempts = await asyncio.gather(*(self._attempt(request) for request in requests))
        answered = sum(attempt.translation is not None for attempt in attempts)
        self._resize_batch(len(requests), answered, time.monotonic() - began)
        if answered:
            # The service was there: it is this caption that it gave no answer to.
            attempts = [replace(one, failure="no answer in time") if one.timed_out else one for one in attempts]
        await asyncio.to_thread(self._write_results, attempts)
        return answered

    def _resize_batch(self, asked: int, answered: int, seconds: float) -> None:
        """Choose the size of the next round by how this one went."""
        if answered < asked:
            self._batch_size = MIN_CALLS
        elif seconds > PROMPT_S:
            self._batch_size = max(MIN_CALLS, self._batch_size // 2)
        elif asked == self._batch_size:
            self._batch_size = min(MAX_CALLS, 2 * self._batch_size)

    async def _attempt(self, request: TranslationRequest) -> _Attempt:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return _Attempt(request, await self._translate(request))
        except Malformed as error:
            return self._failed(request, error)
        except (Unavailable, TimeoutError) as error:
            log.info("backfill waits", meeting=request.meeting_id, error=type(error).__name__)
            return _Attempt(request, timed_out=isinstance(error, TimeoutError))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.info("backfill waits", meeting=request.meeting_id, error="CancelledError in the service")
            return _Attempt(request)
        except Exception as error:  # noqa: BLE001 - a sentence that breaks the service must not stop the others
            return self._failed(request, error)

    def _failed(self, request: TranslationRequest, error: Exception) -> _Attempt:
        failure = type(error).__name__
        log.warning("backfill failed", meeting=request.meeting_id, sentence=request.sentence_id, error=failure)
        return _Attempt(request, failure=failure)

    def _pending(self) -> list[TranslationRequest]:
        with self._engine.begin() as connection:
            return owed(connection, self._batch_size)

    def _write_results(self, attempts: Sequence[_Attempt]) -> None:
        """Write how attempts ended, those of a meeting together, and publish what came of it."""
        meetings: dict[str, list[_Attempt]] = {}
        for attempt in attempts:
            meetings.setdefault(attempt.request.meeting_id, []).append(attempt)
        publish_events(self._redis, write_parts(list(meetings.values()), self._commit, self._write_without_refused))

    def _commit(self, parts: Sequence[Sequence[_Attempt]]) -> list[Event]:
        attempts = [attempt for part in parts for attempt in part]
        answers = [Answer(one.request, one.translation, 1) for one in attempts if one.translation is not None]
        failed = [one for one in attempts if one.failure is not None]
        away = [one.request for one in attempts if one.translation is None and one.failure is None]
        with self._engine.begin() as connection:
            locked = LockedMeetings(connection, {one.request.meeting_id for one in attempts})
            counts = note_failures(connection, [one.request for one in failed], FIRST_PAUSE_S, PAUSE_FACTOR)
            for one, count in zip(failed, counts, strict=True):
                if count >= MAX_ATTEMPTS:
                    reason = f"failed {count} times: {one.failure}"
                    answers.append(Answer(one.request, Translation(CaptionStatus.UNTRANSLATED, None, "", reason), 1))
            events = pay(connection, locked, answers, [one.dead for one in attempts if one.dead is not None])
            if away:
                postpone(connection, {request: self._outage_pause(request) for request in away})
        for answer in answers:
            self._outages.pop(_caption_key(answer.request), None)
        return events

    def _outage_pause(self, request: TranslationRequest) -> float:
        """Seconds for which a caption is left alone after the service was away once more."""
        if len(self._outages) > MAX_OUTAGES:
            self._outages.clear()
        self._outages[_caption_key(request)] += 1
        return min(MAX_OUTAGE_PAUSE_S, 2.0 ** min(self._outages[_caption_key(request)] - 1, 9))

    def _write_without_refused(self, part: Sequence[_Attempt], error: Exception) -> list[Event]:
        """Write a meeting's part one by one; of one answer that can't be stored, write that."""
        if len(part) > 1:
            return write_parts([[attempt] for attempt in part], self._commit, self._write_without_refused)
        [attempt] = part
        if attempt.translation is None or attempt.dead is not None:
            raise error
        log.error("an answer can't be stored", meeting=attempt.request.meeting_id, error=type(error).__name__)
        translation, dead = unstorable(attempt.request, attempt.translation)
        return self._commit([[replace(attempt, translation=translation, dead=dead)]])


def with_telemetry(translate: Translate, measures: Measures, traces: Traces) -> Translate:
    """The translation service as the backfill asks it, measured and traced."""

    async def ask(request: TranslationRequest) -> Translation:
        began = time.time()
        answer = await translate(request)
        ended = time.time()
        measures.observe("backfill", ended - began)
        traces.span(
            "backfill",
            request.meeting_id,
            request.sentence_id,
            began,
            ended,
            language=request.language,
            revision=request.revision,
            status=str(answer.status),
        )
        return answer

    return ask
