"""The backfill: translates pending captions that no lane translates any more.

A caption stays pending if a live lane gave it up, its lane died, or its language was added later. The backfill has the
lowest priority. It works in batches, and between them the translation service is free for others. A batch grows only while
the service answers all calls of the last one promptly.

During an outage of the service, a caption is retried without limit. Any other failed attempt is counted with the caption: an
error, a malformed answer, or a timeout while other calls succeed. After `MAX_ATTEMPTS` of them, with growing pauses, the
caption is `untranslated`, with the reason. A translation that can't be stored fails alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import redis
import structlog
from cachetools import LRUCache
from sqlalchemy import Engine

from operators.errors import MalformedResponseError, UnavailableError
from operators.translation_requests import CaptionStatus, Translate, Translation, TranslationRequest
from storage.batch_commit.batch_changes import CaptionResult, DeadLetter, replace_unstorable
from storage.batch_commit.lane_commit import commit_backfill
from storage.batch_commit.pending_captions import postpone, read_due_requests, record_failures
from storage.batch_commit.refused_content import write_bisecting
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.tracing import SentenceTraces
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.records import OutboxEvent
from storage.redis_log.live_pubsub import publish_events

MIN_CALLS, MAX_CALLS = 4, 32
"""Batch size, which is also the number of concurrent calls. It starts at the minimum, and falls back to it after a failed
call. It doubles up to the maximum while the service answers promptly."""
PROMPT_S = 1.0
"""Seconds within which a batch must be answered for the next one to grow; otherwise the next one shrinks. A live caption may
wait that long behind a batch: a tenth of its deadline."""
MAX_ATTEMPTS = 5
"""Failed attempts, outages aside, after which a caption becomes `untranslated`."""
FIRST_PAUSE_S, PAUSE_FACTOR = 1.0, 4.0
"""Seconds before the second attempt, and the factor by which each further pause grows: 85 s in all."""
CALL_TIMEOUT_S = 20.0
"""Timeout of one call, in seconds."""
MAX_OUTAGE_PAUSE_S = 15.0
"""Longest pause before a caption is retried during an outage, in seconds. The first pause is one second."""
MAX_OUTAGES = 10_000
"""Maximum number of captions whose outages are counted in memory."""

log = structlog.get_logger(__name__)

_CaptionKey = tuple[str, str, str, int]


def _caption_key(request: TranslationRequest) -> _CaptionKey:
    """Identify the pending caption that a request is for, whatever the request's context."""
    return request.meeting_id, request.sentence_id, request.language, request.revision


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The outcome of one attempt: a translation, or a failure, or neither during an outage.

    Attributes:
        request: the request.
        translation: the translation, if there is one.
        failure: why the attempt failed, if it counts as failed.
        timed_out: whether the call timed out.
        dead: the dead letter of a translation that can't be stored.
    """

    request: TranslationRequest
    translation: Translation | None = None
    failure: str | None = None
    timed_out: bool = False
    dead: DeadLetter | None = None


class Backfill:
    """Translates pending captions in batches, fairly between meetings.

    Args:
        engine: the database.
        connection: Redis, where the live events are published.
        translate: calls the translation service. It raises `UnavailableError` during an outage.
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
        self._outages = LRUCache[_CaptionKey, int](MAX_OUTAGES)

    async def run_once(self) -> int:
        """Translate and store the next batch of pending captions.

        Returns:
            The number of captions translated; 0 if none is due, or if the service is unavailable.
        """
        requests = await asyncio.to_thread(self._pending)
        if not requests:
            return 0
        started_at = time.monotonic()
        attempts = await asyncio.gather(*(self._attempt(request) for request in requests))
        succeeded = sum(attempt.translation is not None for attempt in attempts)
        self._resize_batch(len(requests), succeeded, time.monotonic() - started_at)
        if succeeded:
            # The service works, so each timeout counts against its caption.
            attempts = [replace(a, failure="no answer in time") if a.timed_out else a for a in attempts]
        await asyncio.to_thread(self._write_results, attempts)
        return succeeded

    def _resize_batch(self, requested: int, succeeded: int, seconds: float) -> None:
        """Choose the size of the next batch from the results of this one."""
        if succeeded < requested:
            self._batch_size = MIN_CALLS
        elif seconds > PROMPT_S:
            self._batch_size = max(MIN_CALLS, self._batch_size // 2)
        elif requested == self._batch_size:
            self._batch_size = min(MAX_CALLS, 2 * self._batch_size)

    async def _attempt(self, request: TranslationRequest) -> _Attempt:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return _Attempt(request, await self._translate(request))
        except MalformedResponseError as error:
            return self._failed(request, error)
        except (UnavailableError, TimeoutError) as error:
            log.info("backfill call postponed", meeting=request.meeting_id, error=type(error).__name__)
            return _Attempt(request, timed_out=isinstance(error, TimeoutError))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.info("backfill call postponed", meeting=request.meeting_id, error="CancelledError in the service")
            return _Attempt(request)
        except Exception as error:  # noqa: BLE001 - one sentence that makes the service fail must not stop the others
            return self._failed(request, error)

    def _failed(self, request: TranslationRequest, error: Exception) -> _Attempt:
        failure = type(error).__name__
        log.warning("backfill call failed", meeting=request.meeting_id, sentence=request.sentence_id, error=failure)
        return _Attempt(request, failure=failure)

    def _pending(self) -> list[TranslationRequest]:
        with self._engine.begin() as connection:
            return read_due_requests(connection, self._batch_size)

    def _write_results(self, attempts: Sequence[_Attempt]) -> None:
        """Store the attempts' outcomes, those of a meeting together, and publish the live events."""
        meetings: dict[str, list[_Attempt]] = {}
        for attempt in attempts:
            meetings.setdefault(attempt.request.meeting_id, []).append(attempt)
        publish_events(self._redis, write_bisecting(list(meetings.values()), self._commit, self._write_without_refused))

    def _commit(self, parts: Sequence[Sequence[_Attempt]]) -> list[OutboxEvent]:
        attempts = [attempt for part in parts for attempt in part]
        results = [CaptionResult(a.request, a.translation, 1) for a in attempts if a.translation is not None]
        failed = [a for a in attempts if a.failure is not None]
        postponed = [a.request for a in attempts if a.translation is None and a.failure is None]
        with self._engine.begin() as connection:
            transaction = MeetingTransaction(connection, {a.request.meeting_id for a in attempts})
            counts = record_failures(connection, [a.request for a in failed], FIRST_PAUSE_S, PAUSE_FACTOR)
            for attempt, count in zip(failed, counts, strict=True):
                if count >= MAX_ATTEMPTS:
                    reason = f"failed {count} times: {attempt.failure}"
                    results.append(
                        CaptionResult(attempt.request, Translation(CaptionStatus.UNTRANSLATED, None, "", reason), 1)
                    )
            events = commit_backfill(connection, transaction, results, [a.dead for a in attempts if a.dead is not None])
            if postponed:
                postpone(connection, {request: self._outage_pause(request) for request in postponed})
        for result in results:
            self._outages.pop(_caption_key(result.request), None)
        return events

    def _outage_pause(self, request: TranslationRequest) -> float:
        """Count an outage for a caption, and return the seconds until it is retried."""
        key = _caption_key(request)
        count = self._outages[key] = self._outages.get(key, 0) + 1
        return min(MAX_OUTAGE_PAUSE_S, 2.0 ** min(count - 1, 9))

    def _write_without_refused(self, part: Sequence[_Attempt], error: Exception) -> list[OutboxEvent]:
        """Store a meeting's attempts one by one. A translation that can't be stored becomes a dead letter."""
        if len(part) > 1:
            return write_bisecting([[attempt] for attempt in part], self._commit, self._write_without_refused)
        [attempt] = part
        if attempt.translation is None or attempt.dead is not None:
            raise error
        log.error("translation can't be stored", meeting=attempt.request.meeting_id, error=type(error).__name__)
        translation, dead = replace_unstorable(attempt.request, attempt.translation)
        return self._commit([[replace(attempt, translation=translation, dead=dead)]])


def with_telemetry(translate: Translate, metrics: ProcessMetrics, traces: SentenceTraces) -> Translate:
    """Wrap a translation call so that it records the backfill's metric and trace span."""

    async def translate_with_telemetry(request: TranslationRequest) -> Translation:
        started_at = time.time()
        translation = await translate(request)
        ended_at = time.time()
        metrics.observe("backfill", ended_at - started_at)
        traces.add_span(
            "backfill",
            request.meeting_id,
            request.sentence_id,
            started_at,
            ended_at,
            language=request.language,
            revision=request.revision,
            status=str(translation.status),
        )
        return translation

    return translate_with_telemetry
