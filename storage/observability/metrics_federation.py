"""Metrics of all processes: each publishes snapshots to Redis, and the API merges them.

A snapshot outlives its process by half a minute. Nothing waits for a snapshot: if publishing fails it is skipped and counted,
and an unreadable one is left out and counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast
from uuid import uuid4

import redis
import redis.asyncio
from prometheus_client.core import Metric
from pydantic import Field, TypeAdapter, ValidationError
from redis.client import NEVER_DECODE

from storage import redis_keys
from storage.connections import sync_redis
from storage.observability.process_metrics import ProcessMetrics

PUBLISH_INTERVAL_S = 5.0
"""Seconds between two snapshots of changed metrics: each adds about 10 KB to Redis' append-only file."""
RENEW_INTERVAL_S = 10.0
"""Seconds between two snapshots of unchanged metrics."""
SNAPSHOT_TTL_S = 30
"""Seconds that Redis keeps a snapshot after it was last published."""
PROCESS_LISTED_S = 3600.0
"""Seconds that a process stays listed after its last snapshot.

Long, because the clocks of nodes may differ. Whether a process counts as alive depends on Redis' expiry of its snapshot.
"""
CLOSE_TIMEOUT_S = 1.0
"""Seconds that an ending process waits for its last snapshot to be published."""

_MetricName = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$")]
_MetricSample = tuple[_MetricName, dict[_MetricName, str], Annotated[float, Field(allow_inf_nan=False)]]


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric family of one process. Each sample has a name, labels and a value."""

    name: _MetricName
    help: str
    type: Literal["counter", "gauge", "histogram"]
    samples: tuple[_MetricSample, ...]


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """The metrics of a process at one moment.

    Attributes:
        process: the process's name.
        since: when the process started, in seconds since the epoch.
        families: its metric families.
    """

    process: Annotated[str, Field(min_length=1)]
    since: Annotated[float, Field(allow_inf_nan=False)]
    families: tuple[MetricFamily, ...]


_SNAPSHOT_ADAPTER = TypeAdapter(MetricsSnapshot)


def _dump_snapshot(metrics: ProcessMetrics, since: float) -> bytes:
    families = tuple(
        MetricFamily(
            metric.name,
            metric.documentation,
            cast(Literal["counter", "gauge", "histogram"], metric.type),
            # The creation time of each series adds nothing: it is the start of the process.
            tuple((s.name, s.labels, s.value) for s in metric.samples if not s.name.endswith("_created")),
        )
        for metric in metrics.collect()
    )
    return _SNAPSHOT_ADAPTER.dump_json(MetricsSnapshot(metrics.process, since, families))


class _SnapshotPublisher:
    def __init__(self, metrics: ProcessMetrics, redis_url: str) -> None:
        self._metrics = metrics
        self._redis_url = redis_url
        # A replaced process may live on for a moment, and must not overwrite its successor's snapshot.
        self._name = f"{metrics.process}/{uuid4().hex[:8]}"
        self._started_at = time.time()
        self._last_snapshot = b""
        self._renewed_at = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Publish until `stopping` is set, and then once more."""
        with sync_redis(self._redis_url) as connection:
            while True:
                is_last = self.stopping.wait(PUBLISH_INTERVAL_S)
                try:
                    self._publish(connection)
                except (redis.RedisError, OSError):
                    self._metrics.count_unpublished()
                if is_last:
                    return

    def _publish(self, connection: redis.Redis) -> None:
        # A wall clock that is set back must not delay the renewal: the snapshot would expire in Redis.
        now, monotonic_now = time.time(), time.monotonic()
        snapshot = _dump_snapshot(self._metrics, self._started_at)
        if snapshot == self._last_snapshot and monotonic_now - self._renewed_at < RENEW_INTERVAL_S:
            return
        pipe = connection.pipeline(transaction=False)
        pipe.set(redis_keys.metrics_snapshot(self._name), snapshot, ex=SNAPSHOT_TTL_S)
        pipe.zadd(redis_keys.measured_processes(), {self._name: now * 1000})
        pipe.zremrangebyscore(redis_keys.measured_processes(), "-inf", (now - PROCESS_LISTED_S) * 1000)
        pipe.execute()
        self._last_snapshot, self._renewed_at = snapshot, monotonic_now


@contextmanager
def publish_metrics(metrics: ProcessMetrics, redis_url: str) -> Generator[None]:
    """Publish metrics while the block runs, from a separate thread and connection.

    Args:
        metrics: the metrics of this process.
        redis_url: `redis://:password@host:port/0`.
    """
    publisher = _SnapshotPublisher(metrics, redis_url)
    thread = threading.Thread(target=publisher.run, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        publisher.stopping.set()
        thread.join(CLOSE_TIMEOUT_S)


@dataclass(slots=True)
class MergedMetrics:
    """The metrics of all living processes.

    Attributes:
        started_at: when each process started (seconds since the epoch), by its name.
        unread_count: number of snapshots that were left out.
        families: metric families by name; each sample has the label `process`.
    """

    started_at: dict[str, float] = field(default_factory=dict[str, float])
    unread_count: int = 0
    families: dict[str, Metric] = field(default_factory=dict[str, Metric])


async def read_snapshots(connection: redis.asyncio.Redis) -> list[bytes]:
    """Read the last snapshot of each living process.

    This process's own snapshot comes from Redis too, so counters never decrease, whichever process answers.
    """
    names = cast(list[str], await connection.zrange(redis_keys.measured_processes(), 0, -1))
    if not names:
        return []
    # As bytes: a snapshot that is not valid UTF-8 must not prevent the others from being read.
    snapshots = await connection.execute_command(
        "MGET", *(redis_keys.metrics_snapshot(name) for name in names), **{NEVER_DECODE: True}
    )
    return [snapshot for snapshot in cast(list[bytes | None], snapshots) if snapshot is not None]


def merge_snapshots(snapshots: Iterable[bytes], reserved_names: Collection[str] = ()) -> MergedMetrics:
    """Merge snapshots. Of two snapshots of the same process, the one that started later counts.

    Args:
        snapshots: JSON, as `read_snapshots` returns them.
        reserved_names: names of families that no process may use.
    """
    merged = MergedMetrics()
    latest: dict[str, MetricsSnapshot] = {}
    for dumped in snapshots:
        try:
            snapshot = _SNAPSHOT_ADAPTER.validate_json(dumped)
        except ValidationError:
            merged.unread_count += 1
            continue
        other = latest.get(snapshot.process)
        if other is None or other.since < snapshot.since:
            latest[snapshot.process] = snapshot
    for process, snapshot in sorted(latest.items()):
        if not _is_mergeable(snapshot, merged, reserved_names):
            merged.unread_count += 1
            continue
        merged.started_at[process] = snapshot.since
        for family in snapshot.families:
            metric = merged.families.setdefault(family.name, Metric(family.name, family.help, family.type))
            for name, labels, value in family.samples:
                metric.add_sample(name, labels | {"process": process}, value)
    return merged


def _is_mergeable(snapshot: MetricsSnapshot, merged: MergedMetrics, reserved_names: Collection[str]) -> bool:
    """Check that all series of a snapshot can be merged: families have the same type, and each series occurs once."""
    series = [(name, *sorted(labels.items())) for family in snapshot.families for name, labels, _ in family.samples]
    is_unlabelled = not any("process" in labels for family in snapshot.families for _, labels, _ in family.samples)
    has_same_types = all(
        family.name not in reserved_names
        and (family.name not in merged.families or merged.families[family.name].type == family.type)
        for family in snapshot.families
    )
    return is_unlabelled and has_same_types and len(set(series)) == len(series)
