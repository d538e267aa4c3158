"""storage/observability/metrics_federation.py on a real Redis: snapshots are published, read and renewed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis
import redis.asyncio
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from cluster.ports import find_free_port
from storage import redis_keys
from storage.observability import metrics_federation
from storage.observability.metrics_federation import (
    SNAPSHOT_TTL_S,
    MergedMetrics,
    merge_snapshots,
    publish_metrics,
    read_snapshots,
)
from storage.observability.process_metrics import ProcessMetrics
from tests.harness.api.metrics_exposition import sample_values
from tests.harness.lane.threaded_lane import wait_until


def make_snapshot(
    process: str = "maintenance", since: float = 1.0, *samples: Any, kind: str = "counter", **other: Any
) -> bytes:
    family = {"name": "parley_things", "help": "Things", "type": kind, "samples": samples}
    return json.dumps({"process": process, "since": since, "families": [family], **other}).encode()


class SetBackClock:
    """The module `time` of a machine whose wall clock was set back by an hour."""

    monotonic = time.monotonic

    @staticmethod
    def time() -> float:
        return time.time() - 3_600


def thing_sample(value: float, **labels: str) -> list[Any]:
    return ["parley_things_total", labels, value]


def exposed_values(merged: MergedMetrics) -> dict[tuple[str, ...], float]:
    class FamiliesCollector(Collector):
        def collect(self) -> list[Metric]:
            return list(merged.families.values())

    registry = CollectorRegistry()
    registry.register(FamiliesCollector())
    return sample_values(generate_latest(registry).decode())


@pytest.mark.usefixtures("unhurried")
async def test_a_snapshot_stays_in_redis_for_half_a_minute(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis, redis_url: str
) -> None:
    lane, maintenance = ProcessMetrics("lane/live-1"), ProcessMetrics("maintenance")
    with publish_metrics(lane, redis_url), publish_metrics(maintenance, redis_url):
        lane.observe("commit", 0.2)
        lane.observe("caption", 2.0)
        maintenance.count_call("answered")
    merged = merge_snapshots(await read_snapshots(redis_async))
    assert set(merged.started_at) >= {"lane/live-1", "maintenance"}
    assert merged.unread_count == 0
    found = exposed_values(merged)
    assert found["parley_stage_seconds_count", "lane/live-1", "commit"] == 1
    assert found["parley_stage_seconds_bucket", "2.5", "lane/live-1", "caption"] == 1
    assert found["parley_calls_total", "answered", "maintenance"] == 1
    for name in redis_sync.zrange(redis_keys.measured_processes(), 0, -1):
        assert 0 < redis_sync.ttl(redis_keys.metrics_snapshot(name)) <= SNAPSHOT_TTL_S
        redis_sync.delete(redis_keys.metrics_snapshot(name))
    # An API that other tests use may have published its snapshot meanwhile.
    assert not {"lane/live-1", "maintenance"} & set(merge_snapshots(await read_snapshots(redis_async)).started_at)


@pytest.mark.usefixtures("unhurried")
async def test_a_replaced_process_does_not_count_beside_its_successor(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis, redis_url: str
) -> None:
    old, new = ProcessMetrics("lane/live-1"), ProcessMetrics("lane/live-1")
    with publish_metrics(old, redis_url):
        with publish_metrics(new, redis_url):
            new.count_call("answered")
        for _ in range(10):
            old.count_call("answered")
    names = [
        name for name in redis_sync.zrange(redis_keys.measured_processes(), 0, -1) if name.startswith("lane/live-1/")
    ]
    assert len(names) == 2
    assert (
        exposed_values(merge_snapshots(await read_snapshots(redis_async)))[
            "parley_calls_total", "answered", "lane/live-1"
        ]
        == 1
    )


async def test_snapshots_are_renewed_although_the_clock_is_set_back(
    redis_sync: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_federation, "PUBLISH_INTERVAL_S", 0.02)
    monkeypatch.setattr(metrics_federation, "RENEW_INTERVAL_S", 0.1)

    def names() -> list[str]:
        return [
            name
            for name in redis_sync.zrange(redis_keys.measured_processes(), 0, -1)
            if name.startswith("lane/set-back/")
        ]

    def is_stored() -> bool:
        return any(redis_sync.exists(redis_keys.metrics_snapshot(name)) for name in names())

    with publish_metrics(ProcessMetrics("lane/set-back"), redis_url):
        await wait_until(is_stored)
        monkeypatch.setattr(metrics_federation, "time", SetBackClock)
        # As if the stored snapshot had expired.
        redis_sync.delete(redis_keys.metrics_snapshot(names()[0]))
        await wait_until(is_stored)


async def test_an_unreachable_redis_blocks_nothing_and_is_counted() -> None:
    metrics = ProcessMetrics("lane/live-1")

    def unpublished() -> float:
        return sum(
            sample.value
            for metric in metrics.collect()
            for sample in metric.samples
            if sample.name == "parley_snapshots_unpublished_total"
        )

    with publish_metrics(metrics, f"redis://127.0.0.1:{find_free_port()}/0"):
        metrics.observe("commit", 0.1)
    await wait_until(lambda: unpublished() >= 1)


async def test_an_unreadable_snapshot_is_left_out_and_counted(
    redis_sync: redis.Redis, redis_async: redis.asyncio.Redis
) -> None:
    broken = [b"", b"\xff\xfe", b"[]", make_snapshot("", 1.0), make_snapshot("a", 1.0, ["no name", {}, 1.0])]
    for k, dumped in enumerate([*broken, make_snapshot("maintenance", 1.0, thing_sample(3))]):
        redis_sync.set(redis_keys.metrics_snapshot(str(k)), dumped)
        redis_sync.zadd(redis_keys.measured_processes(), {str(k): k})
    merged = merge_snapshots(await read_snapshots(redis_async))
    assert merged.unread_count == len(broken)
    assert exposed_values(merged)["parley_things_total", "maintenance"] == 3
