"""Tests serve/http/dependencies/live_fanout.py behind a network that silently drops all packets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio

from serve.http.dependencies import live_fanout
from storage import redis_keys
from tests.harness.doubles.tcp_proxy import TcpProxy

CHANNEL = redis_keys.live_channel("m")


@asynccontextmanager
async def connected_hub(
    redis_url: str, timeout: float | None
) -> AsyncGenerator[tuple[live_fanout.LiveFanout, TcpProxy]]:
    """Run a fan-out that is connected to Redis through a TCP proxy.

    Args:
        redis_url: URL of Redis.
        timeout: seconds after which its Redis client gives up waiting for an answer; None for never.
    """
    address = urlsplit(redis_url)
    assert address.port is not None
    async with TcpProxy(address.port) as network:
        url = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{network.port}")).geturl()
        async with redis.asyncio.Redis.from_url(url, decode_responses=True, socket_timeout=timeout) as client:
            made = live_fanout.LiveFanout(client)
            running = asyncio.create_task(made.run())
            try:
                yield made, network
            finally:
                # Repeated, because a client that is just connecting may swallow a cancellation.
                while not running.done():
                    running.cancel()
                    await asyncio.wait([running], timeout=1)


def publish_sentence(client: redis.Redis, seq: int) -> None:
    client.publish(CHANNEL, json.dumps({"kind": "sentence", "seq": seq, "payload": {}}))


def count_pings(client: redis.Redis) -> int:
    """Return the number of pings that Redis has answered."""
    stats = cast(dict[str, dict[str, int]], client.info("commandstats"))
    return stats.get("cmdstat_ping", {}).get("calls", 0)


async def wait_for_subscribers(client: redis.Redis, times: int) -> None:
    """Wait until Redis counts this many subscribers of the channel."""
    async with asyncio.timeout(60):
        while cast(Any, client.pubsub_numsub(CHANNEL)) != [(CHANNEL, times)]:
            await asyncio.sleep(0.02)


async def test_a_silently_lost_connection_is_reopened(
    redis_url: str, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_fanout, "_PING_INTERVAL_S", 0.2)
    async with connected_hub(redis_url, timeout=1) as (made, network), made.subscribe("m") as inbox:
        await wait_for_subscribers(redis_sync, 1)
        before = network.connection_count
        await network.cut("swallow")
        publish_sentence(redis_sync, 1)
        async with asyncio.timeout(60):
            while network.connection_count == before:
                await asyncio.sleep(0.02)
        await network.restore()
        # Redis still counts the lost connection as a subscriber.
        await wait_for_subscribers(redis_sync, 2)
        publish_sentence(redis_sync, 2)
        async with asyncio.timeout(60):
            while not (waiting := await inbox.take(60)).events:
                pass
        assert [event.seq for event in waiting.events] == [2]


async def test_a_connection_that_is_only_quiet_is_kept(
    redis_url: str, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_fanout, "_PING_INTERVAL_S", 0.2)
    async with connected_hub(redis_url, timeout=None) as (made, network), made.subscribe("m"):
        await wait_for_subscribers(redis_sync, 1)
        accepted, pings = network.connection_count, count_pings(redis_sync)
        # On a busy machine an answer may sometimes take too long.
        async with asyncio.timeout(60):
            while count_pings(redis_sync) < pings + 3:
                if network.connection_count != accepted:
                    accepted, pings = network.connection_count, count_pings(redis_sync)
                await asyncio.sleep(0.02)


async def test_a_new_client_does_not_wait_for_an_unresponsive_redis(
    redis_url: str, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_fanout, "_SUBSCRIBE_TIMEOUT_S", 0.2)
    # The Redis client itself would wait forever.
    async with connected_hub(redis_url, timeout=None) as (made, network):
        async with made.subscribe("n"):
            pass
        await network.cut("swallow")
        async with asyncio.timeout(60), made.subscribe("m"):
            pass
