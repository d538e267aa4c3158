"""storage/snapshots.py"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis
import redis.asyncio
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from cluster.ports import free_port
from storage import keys, snapshots
from storage.measures import Measures
from storage.snapshots import LIFE_S, Merged, merge, published, read_snapshots
from tests.harness.exposition import values
from tests.harness.lanes import until


def snapshot(
    process: str = "maintenance", since: float = 1.0, *samples: Any, kind: str = "counter", **other: Any
) -> bytes:
    family = {"name": "parley_things", "help": "Things", "type": kind, "samples": samples}
    return json.dumps({"process": process, "since": since, "families": [family], **other}).encode()


class SetBack:
    """A machine's time after its wall clock was set back by an hour."""

    monotonic = time.monotonic

    @staticmethod
    def time() -> float:
        return time.time() - 3_600


def things(value: float, **labels: str) -> list[Any]:
    return ["parley_things_total", labels, value]


def exposed(merged: Merged) -> dict[tuple[str, ...], float]:
    class Families(Collector):
        def collect(self) -> list[Metric]:
            return list(merged.families.values())

    registry = CollectorRegistry()
    registry.register(Families())
    return values(generate_latest(registry).decode())


@pytest.mark.usefixtures("unhurried")
async def test_what_a_process_measures_is_kept_in_redis_for_half_a_minute(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis, redis_url: str
) -> None:
    lane, maintenance = Measures("lane/live-1"), Measures("maintenance")
    with published(lane, redis_url), published(maintenance, redis_url):
        lane.observe("commit", 0.2)
        lane.observe("caption", 2.0)
        maintenance.call_ended("answered")
    merged = merge(await read_snapshots(redis_async))
    assert set(merged.since) >= {"lane/live-1", "maintenance"}
    assert merged.unread == 0
    found = exposed(merged)
    assert found["parley_stage_seconds_count", "lane/live-1", "commit"] == 1
    assert found["parley_stage_seconds_bucket", "2.5", "lane/live-1", "caption"] == 1
    assert found["parley_calls_total", "answered", "maintenance"] == 1
    for name in redis_sync.zrange(keys.measured(), 0, -1):
        assert 0 < redis_sync.ttl(keys.snapshot(name)) <= LIFE_S
        redis_sync.delete(keys.snapshot(name))
    # An API that other tests use may have published its own meanwhile.
    assert not {"lane/live-1", "maintenance"} & set(merge(await read_snapshots(redis_async)).since)


@pytest.mark.usefixtures("unhurried")
async def test_a_process_that_was_replaced_says_nothing_beside_its_successor(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis, redis_url: str
) -> None:
    old, new = Measures("lane/live-1"), Measures("lane/live-1")
    with published(old, redis_url):
        with published(new, redis_url):
            new.call_ended("answered")
        for _ in range(10):
            old.call_ended("answered")
    names = [name for name in redis_sync.zrange(keys.measured(), 0, -1) if name.startswith("lane/live-1/")]
    assert len(names) == 2
    assert exposed(merge(await read_snapshots(redis_async)))["parley_calls_total", "answered", "lane/live-1"] == 1


async def test_measures_are_renewed_though_the_clock_is_set_back(
    redis_sync: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "INTERVAL_S", 0.02)
    monkeypatch.setattr(snapshots, "RENEW_S", 0.1)

    def names() -> list[str]:
        return [name for name in redis_sync.zrange(keys.measured(), 0, -1) if name.startswith("lane/set-back/")]

    def there() -> bool:
        return any(redis_sync.exists(keys.snapshot(name)) for name in names())

    with published(Measures("lane/set-back"), redis_url):
        await until(there)
        monkeypatch.setattr(snapshots, "time", SetBack)
        # What is kept comes to its end.
        redis_sync.delete(keys.snapshot(names()[0]))
        await until(there)


async def test_a_redis_that_is_away_disturbs_nobody_and_is_counted() -> None:
    measures = Measures("lane/live-1")

    def unpublished() -> float:
        return sum(
            sample.value
            for metric in measures.collect()
            for sample in metric.samples
            if sample.name == "parley_snapshots_unpublished_total"
        )

    with published(measures, f"redis://127.0.0.1:{free_port()}/0"):
        measures.observe("commit", 0.1)
    await until(lambda: unpublished() >= 1)


async def test_one_that_can_not_be_read_is_left_out_and_counted(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis
) -> None:
    broken = [b"", b"\xff\xfe", b"[]", snapshot("", 1.0), snapshot("a", 1.0, ["no name", {}, 1.0])]
    for k, dumped in enumerate([*broken, snapshot("maintenance", 1.0, things(3))]):
        redis_sync.set(keys.snapshot(str(k)), dumped)
        redis_sync.zadd(keys.measured(), {str(k): k})
    merged = merge(await read_snapshots(redis_async))
    assert merged.unread == len(broken)
    assert exposed(merged)["parley_things_total", "maintenance"] == 3
