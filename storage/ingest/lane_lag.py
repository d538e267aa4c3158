"""The lag of lanes: the age of a lane's oldest uncommitted entry or tick.

Ticks count because the last sentence of a meeting that falls quiet is emitted at a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import redis.asyncio
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import UnavailableError
from storage import redis_keys
from storage.postgres.lane_registry import LaneProgress, list_lanes

POLL_S = 0.5
"""Seconds between two measurements. Lanes store their progress about once a second, so a lag below that counts as none."""
_TICK_GRACE_MS = 2_000
"""Milliseconds overdue after which a tick is late: the lane may have committed it since it last stored its progress."""

log = structlog.get_logger(__name__)


async def read_lane_lags(client: redis.asyncio.Redis, lanes: Mapping[str, LaneProgress]) -> dict[str, float]:
    """Measure the lag of lanes.

    Args:
        client: the log's Redis; it decodes its responses.
        lanes: progress of each lane, by id.

    Returns:
        Seconds by Redis' time, by lane id; 0.0 if nothing is uncommitted.

    Raises:
        UnavailableError: Redis can't answer at the moment.
    """
    pipe = client.pipeline(transaction=False)
    for lane_id, progress in lanes.items():
        pipe.xrange(redis_keys.lane_log(lane_id), min=f"({progress.log_id}", count=1)
    # Last, so that no entry is newer than the time.
    pipe.time()
    try:
        *oldest_entries, (seconds, micros) = await pipe.execute()
    except RedisError as error:
        raise UnavailableError(f"the log can't be reached at the moment ({type(error).__name__}); try again") from error
    now_ms = seconds * 1000 + micros // 1000
    lag_by_lane: dict[str, float] = {}
    for (lane_id, progress), entries in zip(
        lanes.items(), cast(list[list[tuple[str, object]]], oldest_entries), strict=True
    ):
        uncommitted_ms = [int(entries[0][0].partition("-")[0])] if entries else []
        if progress.due_at is not None and now_ms - progress.due_at > _TICK_GRACE_MS:
            uncommitted_ms.append(progress.due_at)
        lag_by_lane[lane_id] = max(0, now_ms - min(uncommitted_ms, default=now_ms)) / 1000
    return lag_by_lane


class LaneLags:
    """The last measured lag of each lane, cached so that reading it costs nothing.

    While Redis can't be reached the lags stay as they were, because nothing is accepted meanwhile.

    Args:
        engine: the database.
        client: the log's Redis; it decodes its responses.
    """

    def __init__(self, engine: AsyncEngine, client: redis.asyncio.Redis) -> None:
        self._engine = engine
        self._redis = client
        self._progress_by_lane: Mapping[str, LaneProgress] = {}
        self._lag_by_lane: Mapping[str, float] = {}

    @property
    def max_lag(self) -> float:
        """The largest lag of any lane, in seconds."""
        return max(self._lag_by_lane.values(), default=0.0)

    def lag_of(self, lane_id: str) -> float:
        """Return the lag of a lane in seconds; 0.0 if the lane is unknown."""
        return self._lag_by_lane.get(lane_id, 0.0)

    async def refresh(self) -> None:
        """Measure the lags now. If Postgres can't be reached, the last progress still holds, because no lane can commit.

        Raises:
            UnavailableError: Redis can't answer at the moment.
        """
        try:
            async with self._engine.connect() as conn:
                self._progress_by_lane = {lane.id: lane.progress for lane in await list_lanes(conn)}
        except SQLAlchemyError as error:
            log.debug("lag.without_postgres", error=type(error).__name__)
        self._lag_by_lane = await read_lane_lags(self._redis, self._progress_by_lane)

    async def run(self) -> None:
        """Measure the lags every half second, until cancelled."""
        while True:
            try:
                await self.refresh()
            except UnavailableError as error:
                log.debug("lag.unknown", error=str(error))
            await asyncio.sleep(POLL_S)
