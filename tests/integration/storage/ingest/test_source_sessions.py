"""The states of sources' sessions: one holder of the lock at a time, and a state that expires."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from operators.errors import UnavailableError
from storage import redis_keys
from storage.connections import async_redis
from storage.ingest import source_sessions
from storage.ingest.source_sessions import RETENTION_S, SourceSessions

KEY = ("018f0000-0000-7000-8000-000000000000", "recall", "default")


@pytest.fixture
async def client(redis_url: str, redis_sync: redis.Redis) -> redis.asyncio.Redis:
    redis_sync.flushdb()
    return async_redis(redis_url)


async def test_updates_of_a_session_are_one_after_the_other(client: redis.asyncio.Redis) -> None:
    async def add_one(sessions: SourceSessions) -> None:
        async with sessions.lock(*KEY):
            count = int(await sessions.read(*KEY) or 0)
            await asyncio.sleep(0)
            await sessions.write(*KEY, str(count + 1))

    replicas = [SourceSessions(client), SourceSessions(client)]
    await asyncio.gather(*(add_one(replicas[number % 2]) for number in range(10)))
    assert await replicas[0].read(*KEY) == "10"
    assert 0 < await client.ttl(redis_keys.source_session(*KEY)) <= RETENTION_S
    await client.aclose()


async def test_a_busy_session_is_reported(client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_sessions, "WAIT_S", 0.05)
    sessions = SourceSessions(client)
    async with sessions.lock(*KEY):
        with pytest.raises(UnavailableError, match="busy"):
            async with sessions.lock(*KEY):
                raise AssertionError("the lock has one holder")
    async with sessions.lock(*KEY):
        pass
    await client.aclose()


async def test_an_expired_lock_does_not_hide_the_result(client: redis.asyncio.Redis) -> None:
    sessions = SourceSessions(client)
    async with sessions.lock(*KEY):
        await client.delete(redis_keys.source_session_lock(*KEY))
    await client.aclose()
