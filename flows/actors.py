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

from flows.backfill import Backfill
from flows.balance import Balance, Bounds
from flows.lane import Lane, LaneOptions
from flows.lanes import balance_lanes
from flows.leases import Leases
from flows.observer import observed
from flows.relay import Relay
from flows.ways import Ways, ways_of
from operators.errors import ParleyError
from storage.configs import Following
from storage.database import async_engine, async_redis, sync_engine, sync_redis
from storage.log import Log
from storage.measures import Measures
from storage.meetings import Meetings
from storage.placement import LaneKind
from storage.snapshots import published
from storage.tracing import open_traces

ROUND = 0.5
"""Seconds between two looks at what is owed or unpublished, where there was nothing."""
LEASES = 10.0
"""Seconds between two looks at the leases of recorded meetings."""

LANES = 1.0
"""Seconds between two looks at how the lanes are balanced."""
REDIS = 1.0
"""Seconds between two looks at whether Redis was started again."""
FAILED = 5.0
"""Seconds before a task that failed for no reason that is known to pass is begun again."""

log = structlog.get_logger(__name__)


class LaneProcess:
    """A lane in a process of its own.

    Args:
        options: how the lane runs.
    """

    def __init__(self, options: LaneOptions) -> None:
        self._models = Following(options.postgres_url)
        self._lane = Lane(options, Ways(ways_of(self._models), defer=True).translate)

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


class Steward:
    """What no lane does, side by side: relay, backfill, leases, the balance of the lanes, a Redis that lost something.

    Args:
        bounds: how many lanes of each kind there may be; a kind that isn't there keeps its number.
    """

    def __init__(self, postgres_url: str, redis_url: str, bounds: Mapping[LaneKind, Bounds] | None = None) -> None:
        self._postgres_url, self._redis_url = postgres_url, redis_url
        self._balance = Balance(bounds or {})
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        """End after the present round."""
        self._stopping.set()

    async def alive(self) -> bool:
        """True, if only its event loop gets to say so."""
        return True

    async def _go_round(self, task: Callable[[], Coroutine[Any, Any, int]], pause: float) -> None:
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
                wait = max(pause, FAILED)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def run(self) -> None:
        """Go round until stopped. A store that does not answer is asked again later."""
        engine, connection = sync_engine(self._postgres_url), sync_redis(self._redis_url)
        async_db, async_kv = async_engine(self._postgres_url), async_redis(self._redis_url)
        measures = Measures("steward")
        traces = open_traces(measures)
        models = Following(self._postgres_url)
        translate = observed(Ways(ways_of(models)).translate, measures, traces)
        relay, backfill = Relay(engine, connection), Backfill(engine, connection, translate)
        door = Log(async_kv)
        meetings = Meetings(async_db, door)

        leases = Leases(async_db, door, meetings)

        async def send_unpublished() -> int:
            return await asyncio.to_thread(relay.round)

        async def look_at_leases() -> int:
            seconds, micros = await async_kv.time()
            return await leases.round(seconds * 1000 + micros // 1000)

        async def look_at_lanes() -> int:
            await balance_lanes(async_db, async_kv, meetings, self._balance)
            # Always with a pause: what was decided now must show in the next look.
            return 0

        known: str | None = None

        async def look_at_redis() -> int:
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
                    group.create_task(self._go_round(send_unpublished, ROUND))
                    group.create_task(self._go_round(backfill.round, ROUND))
                    group.create_task(self._go_round(look_at_leases, LEASES))
                    group.create_task(self._go_round(look_at_lanes, LANES))
                    group.create_task(self._go_round(look_at_redis, REDIS))
        finally:
            await asyncio.to_thread(models.stop)
            await asyncio.to_thread(traces.close)
            engine.dispose()
            connection.close()
            await async_db.dispose()
            await async_kv.aclose()
