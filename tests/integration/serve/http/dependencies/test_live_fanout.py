"""serve/http/dependencies/live_fanout.py behind a network that swallows everything without a sign."""

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
    """A hub that listens through a network of its own.

    Args:
        timeout: seconds after which its client takes a silent answer for none; None for never.
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
                # Asked again: a cancellation may get lost in a client that is just connecting.
                while not running.done():
                    running.cancel()
                    await asyncio.wait([running], timeout=1)


def publish_sentence(client: redis.Redis, seq: int) -> None:
    client.publish(CHANNEL, json.dumps({"kind": "sentence", "seq": seq, "payload": {}}))


def count_pings(client: redis.Redis) -> int:
    """How many pings Redis has answered."""
    stats = cast(dict[str, dict[str, int]], client.info("commandstats"))
    return stats.get("cmdstat_ping", {}).get("calls", 0)


async def wait_for_subscribers(client: redis.Redis, times: int) -> None:
    """Wait until so many connections listen to the channel, as Redis sees it."""
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
        # Redis still takes the lost connection for one that listens.
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
        # On a machine with much else to do an answer may take too long now and then.
        async with asyncio.timeout(60):
            while count_pings(redis_sync) < pings + 3:
                if network.connection_count != accepted:
                    accepted, pings = network.connection_count, count_pings(redis_sync)
                await asyncio.sleep(0.02)


async def test_a_new_client_does_not_wait_for_an_unresponsive_redis(
    redis_url: str, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_fanout, "_SUBSCRIBE_TIMEOUT_S", 0.2)
    # The client itself would wait for ever.
    async with connected_hub(redis_url, timeout=None) as (made, network):
        async with made.subscribe("n"):
            pass
        await network.cut("swallow")
        async with asyncio.timeout(60), made.subscribe("m"):
            pass
