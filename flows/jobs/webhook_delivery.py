"""Webhook delivery: sends committed events to their endpoints, in order for each meeting and endpoint.

The queues are rows (`storage.postgres.webhook_queue`), so a kill loses nothing. An attempt that a kill interrupted is repeated
with the same `webhook-id`, once its sender must have ended. Queues don't wait for each other: each endpoint has connections of
its own, up to a limit, and its meetings take turns.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.webhook_http import ATTEMPT_TIMEOUT_S, AttemptResult, WebhookClient
from operators.errors import SetupError
from operators.webhooks.retry_schedule import next_attempt_at, parse_retry_after
from operators.webhooks.signature import signature_headers
from storage.cancellation import cancel_tasks
from storage.encryption import SecretCipher
from storage.observability.process_metrics import ProcessMetrics
from storage.postgres.webhook_queue import (
    Queue,
    TakenDelivery,
    accept_delivery,
    find_due_queues,
    give_up_delivery,
    refuse_deliveries,
    remove_old_deliveries,
    retry_delivery,
    take_delivery,
)

POLL_S = 0.5
"""Seconds between two searches for due deliveries."""
FAILURE_PAUSE_S = 5.0
"""Seconds before the next search after an unexpected error."""
MAX_CONNECTIONS = 8
"""Maximum number of concurrent requests to one endpoint."""
MAX_DELIVERIES_PER_TURN = 20
"""Deliveries of one queue after which another queue of its endpoint gets a turn."""
LOST_AFTER = timedelta(seconds=2 * ATTEMPT_TIMEOUT_S)
"""Time after which an attempt without an outcome counts as lost: its sender was killed."""
STOP_TIMEOUT_S = 5.0
"""Seconds that attempts in flight get to end when the job stops."""
RETENTION = timedelta(days=7)
"""Age at which accepted and failed deliveries are removed from the log."""
CLEANUP_INTERVAL = timedelta(minutes=10)
"""Time between two removals of old deliveries."""
GONE = int(HTTPStatus.GONE)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """The options of webhook delivery.

    Attributes:
        encryption_key: decrypts the endpoints' secrets; hidden from `repr`.
        private_allowed: whether endpoints may have private addresses and `http://`.
    """

    encryption_key: str | None = field(default=None, repr=False)
    private_allowed: bool = False


def _now() -> datetime:
    return datetime.now(UTC)


class WebhookDelivery:
    """Sends due deliveries until it is stopped.

    Args:
        engine: the database.
        cipher: decrypts the endpoints' secrets.
        client: sends the requests. The caller closes it.
        metrics: the process's metrics.
        now: returns the current time, in UTC.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        cipher: SecretCipher,
        client: WebhookClient,
        metrics: ProcessMetrics,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._engine, self._cipher, self._client, self._metrics, self._now = engine, cipher, client, metrics, now
        self._turns: dict[Queue, asyncio.Task[None]] = {}
        self._turn_ended = asyncio.Event()
        self._paused_until: dict[UUID, datetime] = {}
        self._is_stopping = False
        self._last_cleanup_at = datetime.min.replace(tzinfo=UTC)

    async def run(self, stopping: asyncio.Event) -> None:
        """Send deliveries until `stopping` is set. A store that does not respond is tried again.

        Cancelling the call ends all attempts at once; they are repeated later.
        """
        stop_wait = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                pause_s = POLL_S
                self._turn_ended.clear()
                try:
                    await self._start_turns()
                    await self._clean_up()
                except SQLAlchemyError as error:
                    log.warning("webhook delivery postponed", error=type(error).__name__)
                except Exception as error:  # noqa: BLE001 - an unreadable row must not end the job
                    log.error("webhook delivery failed", error=type(error).__name__)
                    pause_s = FAILURE_PAUSE_S
                turn_wait = asyncio.create_task(self._turn_ended.wait())
                await asyncio.wait({stop_wait, turn_wait}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                turn_wait.cancel()
            self._is_stopping = True
            if self._turns:
                await asyncio.wait(self._turns.values(), timeout=STOP_TIMEOUT_S)
        finally:
            stop_wait.cancel()
            await cancel_tasks(self._turns.values())

    async def _start_turns(self) -> None:
        """Start a turn of each due queue, as far as its endpoint has free connections."""
        now = self._now()
        async with self._engine.connect() as conn:
            queues = await find_due_queues(conn, now)
        self._paused_until = {endpoint: until for endpoint, until in self._paused_until.items() if until > now}
        in_use = Counter(queue.endpoint_id for queue in self._turns)
        # In a random order, so that no queue waits for ever behind longer ones.
        for queue in random.sample(queues, len(queues)):
            if (
                queue in self._turns
                or in_use[queue.endpoint_id] >= MAX_CONNECTIONS
                or queue.endpoint_id in self._paused_until
            ):
                continue
            in_use[queue.endpoint_id] += 1
            self._turns[queue] = asyncio.create_task(self._run_turn(queue))

    async def _run_turn(self, queue: Queue) -> None:
        """Attempt the deliveries of a queue, one after the other, while each is accepted."""
        try:
            for _ in range(MAX_DELIVERIES_PER_TURN):
                must_wait = self._is_stopping or queue.endpoint_id in self._paused_until
                if must_wait or not await self._deliver_next(queue):
                    return
        except SQLAlchemyError as error:
            log.warning("webhook delivery postponed", webhook=str(queue.endpoint_id), error=type(error).__name__)
            # The queue may be due still, and the next try should not come at once.
            await asyncio.sleep(POLL_S)
        except Exception as error:  # noqa: BLE001 - an unreadable row must not stop other queues
            log.error("webhook delivery failed", webhook=str(queue.endpoint_id), error=type(error).__name__)
            await asyncio.sleep(FAILURE_PAUSE_S)
        finally:
            del self._turns[queue]
            self._turn_ended.set()

    async def _deliver_next(self, queue: Queue) -> bool:
        """Attempt a queue's first delivery.

        Returns:
            Whether the next delivery of the queue may be attempted at once.
        """
        started_at = self._now()
        async with self._engine.begin() as conn:
            delivery = await take_delivery(conn, queue, started_at, started_at + LOST_AFTER)
        if delivery is None:
            return False
        if not delivery.enabled:
            # It was written while its endpoint was being disabled.
            async with self._engine.begin() as conn:
                await give_up_delivery(conn, delivery, started_at, None, "its endpoint was disabled")
            return True
        result = await self._attempt(delivery, started_at)
        now, code = self._now(), result.code
        async with self._engine.begin() as conn:
            if code is not None and 200 <= code < 300:
                await accept_delivery(conn, delivery, now, code)
                self._metrics.count_webhook("accepted")
                return True
            if code == GONE:
                await refuse_deliveries(conn, delivery, now, GONE, "the receiver answered 410 Gone")
                self._metrics.count_webhook("disabled")
                log.warning("webhook disabled", webhook=str(delivery.endpoint_id), code=GONE)
                return False
            retry_after_s = None if result.retry_after is None else parse_retry_after(result.retry_after, now)
            due_at = next_attempt_at(
                delivery.failures + 1,
                delivery.queued_at,
                now,
                retry_after_s=retry_after_s,
                random=random.random(),  # noqa: S311 - jitter is no secret
            )
            reason = result.failure or _describe_status(code or 0)
            if due_at is None:
                await give_up_delivery(conn, delivery, now, code, reason)
                self._metrics.count_webhook("failed")
                log.warning("webhook delivery given up", webhook=str(delivery.endpoint_id), code=code)
                return True
            await retry_delivery(conn, delivery, due_at, code, reason)
        if retry_after_s:
            # The receiver is overloaded, so the endpoint's other queues wait as well.
            self._paused_until[delivery.endpoint_id] = now + timedelta(seconds=retry_after_s)
        self._metrics.count_webhook("retried")
        return False

    async def _attempt(self, delivery: TakenDelivery, at: datetime) -> AttemptResult:
        try:
            secrets = [self._cipher.decrypt(secret) for secret in delivery.secrets]
        except SetupError as error:
            return AttemptResult(failure=str(error))
        headers = signature_headers(secrets, delivery.event_id, at, delivery.body)
        began_at = time.perf_counter()
        result = await self._client.post(delivery.url, headers, delivery.body)
        self._metrics.observe("webhook", time.perf_counter() - began_at)
        return result

    async def _clean_up(self) -> None:
        """Remove old deliveries from the log from time to time."""
        now = self._now()
        if now - self._last_cleanup_at < CLEANUP_INTERVAL:
            return
        async with self._engine.begin() as conn:
            while await remove_old_deliveries(conn, now - RETENTION):
                pass
        self._last_cleanup_at = now


def _describe_status(code: int) -> str:
    """Describe a status that isn't a success."""
    phrase = next((f" {status.phrase}" for status in HTTPStatus if status == code), "")
    if 300 <= code < 400:
        return f"HTTP {code}{phrase}: redirects are not followed"
    return f"HTTP {code}{phrase}"
