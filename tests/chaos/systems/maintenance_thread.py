"""The maintenance jobs for lanes without Ray: the outbox relay publishes events, the backfill completes pending captions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import redis
from sqlalchemy.exc import SQLAlchemyError

from flows.jobs import Backfill, OutboxRelay
from operators.errors import UnavailableError
from operators.translation_requests import Translation, TranslationRequest
from storage.connections import sync_engine, sync_redis
from tests.chaos.systems.lane_main import scripted_translation
from tests.harness.lane.threaded_lane import Translate

JOBS_POLL_S = 0.3
"""Seconds between two runs of a job that found nothing to do."""


async def _backfill_translate(request: TranslationRequest) -> Translation:
    return await scripted_translation(request, "backfill")


class MaintenanceThread:
    """Runs the outbox relay and the backfill in a thread. Store outages are retried, as in production.

    Args:
        postgres_url: the URL of Postgres.
        redis_url: the URL of Redis.
        translate: the translation function of the backfill.
    """

    def __init__(self, postgres_url: str, redis_url: str, translate: Translate = _backfill_translate) -> None:
        self._urls, self._translate = (postgres_url, redis_url), translate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="maintenance", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> MaintenanceThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the maintenance thread did not stop"
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        engine, connection = sync_engine(self._urls[0]), sync_redis(self._urls[1])
        relay, backfill = OutboxRelay(engine, connection), Backfill(engine, connection, self._translate)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_periodically(lambda: asyncio.to_thread(relay.run_once)))
                group.create_task(self._run_periodically(backfill.run_once))
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._error = error
        finally:
            engine.dispose()
            connection.close()

    async def _run_periodically(self, task: Callable[[], Awaitable[int]]) -> None:
        while not self._stopping.is_set():
            try:
                processed_count = await task()
            except (SQLAlchemyError, redis.RedisError, UnavailableError):
                processed_count = 0
            if not processed_count:
                await asyncio.sleep(JOBS_POLL_S)
