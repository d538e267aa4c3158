"""The flow's processes on Ray: one actor a lane, and the steward that looks after what no lane does.

Both are run by `run()`, which returns once `stop()` was called and raises where something broke. Whoever supervises them
starts them again, also when `alive()` is no longer answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from flows.jobs.autoscaler import LaneAutoscaler, LaneBounds
from flows.jobs.backfill import Backfill, with_telemetry
from flows.jobs.leases import LeaseExpiry
from flows.jobs.outbox_relay import OutboxRelay
from flows.jobs.rebalance import rebalance_lanes
from flows.lane import Lane, LaneOptions
from flows.translation.failover import EngineFailover, configured_applications
from operators.errors import ParleyError
from storage.configs import Following
from storage.database import async_engine, async_redis, sync_engine, sync_redis
from storage.log import Log
from storage.measures import Measures
from storage.meetings import Meetings
from storage.placement import LaneKind
from storage.snapshots import published
from storage.tracing import open_traces

POLL_S = 0.5
"""Seconds between two looks at what is owed or unpublished, where there was nothing."""
LEASES_POLL_S = 10.0
"""Seconds between two looks at the leases of recorded meetings."""

LANES_POLL_S = 1.0
"""Seconds between two looks at how the lanes are balanced."""
REDIS_POLL_S = 1.0
"""Seconds between two looks at whether Redis was started again."""
FAILURE_PAUSE_S = 5.0
"""Seconds before a task that failed for no reason that is known to pass is begun again."""

log = structlog.get_logger(__name__)


class LaneActor:
    """A lane in a process of its own.

    Args:
        options: how the lane runs.
    """

    def __init__(self, options: LaneOptions) -> None:
        self._models = Following(options.postgres_url)
        self._lane = Lane(options, EngineFailover(configured_applications(self._models), defer=True).translate)

    def run(self) -> None:
        """Run the lane until it is stopped."""
        try:
            self._lane.run()
        finally:
            self._models.stop()

    def stop(self) -> None:
        """End the lane: calls under way get a few seconds."""
        self._lane.stop()

    def alive(self) -> bool:
        """Whether its dataflow goes on."""
        return self._lane.alive()


class MaintenanceActor:
    """What no lane does, side by side: relay, backfill, leases, the balance of the lanes, a Redis that lost something.

    Args:
        bounds: how many lanes of each kind there may be; a kind that isn't there keeps its number.
    """

    def __init__(self, postgres_url: str, redis_url: str, bounds: Mapping[LaneKind, LaneBounds] | None = None) -> None:
        self._postgres_url, self._redis_url = postgres_url, redis_url
        self._autoscaler = LaneAutoscaler(bounds or {})
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        """End after the present round."""
        self._stopping.set()

    async def alive(self) -> bool:
        """True, if only its event loop gets to say so."""
        return True

    async def _run_periodically(self, task: Callable[[], Coroutine[Any, Any, int]], pause: float) -> None:
        """Do something again and again, at once while it says that there is something to do."""
        while not self._stopping.is_set():
            wait = pause
            try:
                if await task():
                    continue
            except (SQLAlchemyError, redis.RedisError, ParleyError) as error:
                log.warning("steward waits", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - a row that one task can't read must not keep the others from their work
                log.error("steward failed", task=task.__qualname__, error=type(error).__name__)
                wait = max(pause, FAILURE_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def run(self) -> None:
        """Go round until stopped. A store that does not answer is asked again later."""
        engine, connection = sync_engine(self._postgres_url), sync_redis(self._redis_url)
        async_db, async_kv = async_engine(self._postgres_url), async_redis(self._redis_url)
        measures = Measures("steward")
        traces = open_traces(measures)
        models = Following(self._postgres_url)
        translate = with_telemetry(EngineFailover(configured_applications(models)).translate, measures, traces)
        relay, backfill = OutboxRelay(engine, connection), Backfill(engine, connection, translate)
        door = Log(async_kv)
        meetings = Meetings(async_db, door)

        leases = LeaseExpiry(async_db, door, meetings)

        async def publish_outbox() -> int:
            return await asyncio.to_thread(relay.run_once)

        async def check_leases() -> int:
            seconds, micros = await async_kv.time()
            return await leases.run_once(seconds * 1000 + micros // 1000)

        async def check_lanes() -> int:
            await rebalance_lanes(async_db, async_kv, meetings, self._autoscaler)
            # Always with a pause: what was decided now must show in the next look.
            return 0

        known: str | None = None

        async def check_redis() -> int:
            nonlocal known
            now = str((await async_kv.info("server"))["run_id"])
            if now != known:
                # It was started again, maybe while nobody looked: what it lost is found out now, not when somebody speaks.
                lost = await meetings.reconcile()
                if lost or known is not None:
                    log.warning("Redis was started again", meetings=len(lost), lost=sum(lost.values()))
            known = now
            return 0

        try:
            with published(measures, self._redis_url):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._run_periodically(publish_outbox, POLL_S))
                    group.create_task(self._run_periodically(backfill.run_once, POLL_S))
                    group.create_task(self._run_periodically(check_leases, LEASES_POLL_S))
                    group.create_task(self._run_periodically(check_lanes, LANES_POLL_S))
                    group.create_task(self._run_periodically(check_redis, REDIS_POLL_S))
        finally:
            await asyncio.to_thread(models.stop)
            await asyncio.to_thread(traces.close)
            engine.dispose()
            connection.close()
            await async_db.dispose()
            await async_kv.aclose()
