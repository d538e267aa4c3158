"""How far behind the lanes are: the age of the oldest thing of each that is not committed yet.

That is an entry of its log, or a tick: once a meeting is quiet, its last sentence is emitted at a tick.
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
"""How often it is looked. A lane notes how far it is about once a second: what is less than that behind is up to date."""
_TICK_GRACE_MS = 2_000
"""A tick is late once it is overdue by more than this: a lane may have done it since it noted when it is due."""

_logger = structlog.get_logger(__name__)


async def read_lane_lags(client: redis.asyncio.Redis, lanes: Mapping[str, LaneProgress]) -> dict[str, float]:
    """How far behind lanes are, in seconds by Redis' own time; 0.0 where nothing waits.

    Args:
        client: one that decodes its responses.
        lanes: how far each is, by id.

    Raises:
        UnavailableError: Redis can't answer at the moment.
    """
    pipe = client.pipeline(transaction=False)
    for lane_id, progress in lanes.items():
        pipe.xrange(redis_keys.lane_log(lane_id), min=f"({progress.log_id}", count=1)
    # Last, so that no entry is younger than the time.
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
    """The lanes' lags as this process last saw them, so that asking costs nothing.

    While Redis can't be reached they stay as they were: nothing is accepted then anyway.

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
        """Seconds; the largest lag of any lane."""
        return max(self._lag_by_lane.values(), default=0.0)

    def lag_of(self, lane_id: str) -> float:
        """Seconds; the lag of a lane, 0.0 where there is none."""
        return self._lag_by_lane.get(lane_id, 0.0)

    async def refresh(self) -> None:
        """Look now. Without Postgres no lane commits: what it said last is still so.

        Raises:
            UnavailableError: Redis can't answer at the moment.
        """
        try:
            async with self._engine.connect() as conn:
                self._progress_by_lane = {lane.id: lane.progress for lane in await list_lanes(conn)}
        except SQLAlchemyError as error:
            _logger.debug("lag.without_postgres", error=type(error).__name__)
        self._lag_by_lane = await read_lane_lags(self._redis, self._progress_by_lane)

    async def run(self) -> None:
        """Look every half second, until cancelled."""
        while True:
            try:
                await self.refresh()
            except UnavailableError as error:
                _logger.debug("lag.unknown", error=str(error))
            await asyncio.sleep(POLL_S)
