"""A lane's lag: the age of the oldest uncommitted log entry or overdue tick, by the clock of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis
import redis.asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import UnavailableError
from operators.meeting_config import Clock
from storage import redis_keys
from storage.connections import async_engine, async_redis
from storage.ingest.lane_lag import LaneLags, read_lane_lags
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import LaneProgress, ensure_lane
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.lane.threaded_lane import append_events, chunk_event, end_event, open_lane_meeting, running_lane


def now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()  # type: ignore[misc]
    return seconds * 1000 + micros // 1000


def append_aged_entries(client: redis.Redis, lane: str, *ages: float) -> list[str]:
    """Append entries with these ages (s), the oldest first, and return their ids."""
    now = now_ms(client)
    return [str(client.xadd(redis_keys.lane_log(lane), {"n": "1"}, id=f"{now - round(age * 1000)}-0")) for age in ages]


async def test_the_oldest_uncommitted_entry_determines_the_lag(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis
) -> None:
    began = now_ms(redis_sync)
    ids = append_aged_entries(redis_sync, "some", 90, 60, 20)
    append_aged_entries(redis_sync, "none", 50)
    for committed, age in (("0-0", 90), (ids[0], 60), (ids[1], 20)):
        found = await read_lane_lags(redis_async, {"some": LaneProgress(committed), "none": LaneProgress("0-0")})
        later = (now_ms(redis_sync) - began) / 1000
        assert age <= found["some"] <= age + later
        assert 50 <= found["none"] <= 50 + later
    assert (await read_lane_lags(redis_async, {"some": LaneProgress(ids[2])}))["some"] == 0.0


async def test_an_overdue_tick_determines_the_lag(redis_sync: redis.Redis, redis_async: redis.asyncio.Redis) -> None:
    ids = append_aged_entries(redis_sync, "some", 5)
    now = now_ms(redis_sync)

    async def lag(due_at: int, log_id: str = ids[0]) -> float:
        return (await read_lane_lags(redis_async, {"some": LaneProgress(log_id, due_at)}))["some"]

    assert await lag(now + 60_000) == 0.0, "it is not due yet"
    assert await lag(now - 90_000) >= 90
    assert await lag(now - 90_000, "0-0") >= 90, "the oldest determines the lag"
    assert 5 <= await lag(now + 60_000, "0-0") < 90


async def test_a_lane_that_stops_before_a_due_tick_lags(
    aengine: AsyncEngine,
    redis_async: redis.asyncio.Redis,
    clean_database: None,
    postgres_url: str,
    redis_url: str,
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    live = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    watched = LaneLags(aengine, redis_async)

    async def refresh_until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.1)
                await watched.refresh()

    with running_lane(postgres_url, redis_url, "live-1", kind="live"):
        await meetings.append(
            "default", live, [NewEvent("1", chunk_event(1, "1", "Ann", "Good morning.", 0, 1, 1).payload)]
        )
        async with asyncio.timeout(60):
            while (await due_at(aengine)) is None:
                await asyncio.sleep(0.1)
        await refresh_until(lambda: watched.lag_of("live-1") == 0.0)
    # No lane processes the meeting's next ticks, though all entries are committed.
    await refresh_until(lambda: watched.lag_of("live-1") > 0.0)
    async with aengine.begin() as conn:
        await conn.execute(text("update meetings set status = 'ended'"))
    await refresh_until(lambda: watched.lag_of("live-1") == 0.0)


async def due_at(aengine: AsyncEngine) -> int | None:
    async with aengine.connect() as conn:
        return (await conn.execute(text("select due_at from lanes where id = 'live-1'"))).scalar_one()


async def test_a_lane_without_a_log_has_no_lag(redis_async: redis.asyncio.Redis) -> None:
    assert await read_lane_lags(redis_async, {"new": LaneProgress("0-0")}) == {"new": 0.0}
    assert await read_lane_lags(redis_async, {}) == {}


async def test_without_redis_the_lag_is_unavailable() -> None:
    async with async_redis("redis://127.0.0.1:9/0") as away:
        with pytest.raises(UnavailableError, match="the log"):
            await read_lane_lags(away, {"live-1": LaneProgress("0-0")})


async def test_the_lags_are_refreshed_periodically(
    aengine: AsyncEngine, redis_sync: redis.Redis, redis_async: redis.asyncio.Redis, clean_database: None
) -> None:
    async with aengine.begin() as conn:
        for lane in ("behind", "idle"):
            await ensure_lane(conn, lane, "live")
    (log_id,) = append_aged_entries(redis_sync, "behind", 40)
    watched = LaneLags(aengine, redis_async)
    assert (watched.max_lag, watched.lag_of("behind")) == (0.0, 0.0), "no lag is known before the first refresh"
    task = asyncio.create_task(watched.run())
    try:
        async with asyncio.timeout(60):
            while watched.max_lag == 0.0:
                await asyncio.sleep(0.02)
            assert watched.lag_of("behind") == watched.max_lag >= 40
            assert (watched.lag_of("idle"), watched.lag_of("unheard of")) == (0.0, 0.0)
            async with aengine.begin() as conn:
                await conn.execute(text("update lanes set log_id = :id where id = 'behind'"), {"id": log_id})
            while watched.max_lag > 0.0:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()


async def test_without_postgres_the_lag_grows(
    aengine: AsyncEngine, redis_sync: redis.Redis, redis_async: redis.asyncio.Redis, clean_database: None
) -> None:
    async with aengine.begin() as conn:
        await ensure_lane(conn, "live-1", "live")
    watched = LaneLags(aengine, redis_async)
    await watched.refresh()
    assert watched.lag_of("live-1") == 0.0
    append_aged_entries(redis_sync, "live-1", 40)
    away = async_engine("postgresql://nobody@127.0.0.1:9/nothing")
    watched._engine = away  # pyright: ignore[reportPrivateUsage]
    await watched.refresh()
    await away.dispose()
    assert watched.lag_of("live-1") >= 40


async def test_a_lane_that_has_processed_its_whole_log_has_no_lag(
    aengine: AsyncEngine,
    redis_async: redis.asyncio.Redis,
    clean_database: None,
    postgres_url: str,
    redis_url: str,
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    ended = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, ended, [chunk_event(1, "1", "Ann", "Good morning.", 0, 1, 1), end_event(2)])
    watched = LaneLags(aengine, redis_async)
    await watched.refresh()
    assert watched.lag_of("batch-1") > 0.0
    with running_lane(postgres_url, redis_url, "batch-1"):
        async with asyncio.timeout(60):
            while watched.lag_of("batch-1"):
                await asyncio.sleep(0.1)
                await watched.refresh()
    # After a restart the lane skips entries of ended meetings, and stores that position, too.
    async with aengine.begin() as conn:
        await conn.execute(text("update lanes set log_id = '0-0'"))
    await append_events(meetings, await open_lane_meeting(meetings, aengine), [end_event(0)])
    with running_lane(postgres_url, redis_url, "batch-1"):
        async with asyncio.timeout(60):
            await watched.refresh()
            while watched.lag_of("batch-1"):
                await asyncio.sleep(0.1)
                await watched.refresh()
