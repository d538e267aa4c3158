"""Measures on their way to whoever asks for them: each process keeps its own in Redis, where they outlive it by half a minute.

Nobody waits for this: a snapshot that can't be published is skipped and counted, one that can't be read is left out and
counted.
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
"""How often a process publishes its measures, if they changed: each time, some 10 KB go into Redis' append-only file."""
RENEW_INTERVAL_S = 10.0
"""How often it does so if they didn't."""
SNAPSHOT_TTL_S = 30
"""How long they are kept after that."""
PROCESS_LISTED_S = 3600.0
"""How long a process is listed after it was last heard of: long, for the clocks of nodes may differ. Redis' own ends its life."""
CLOSE_TIMEOUT_S = 1.0
"""How long a process that ends waits for its last ones to be published."""

_MetricName = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$")]
_MetricSample = tuple[_MetricName, dict[_MetricName, str], Annotated[float, Field(allow_inf_nan=False)]]


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One family of metrics, as one process has it. A sample is its name, its labels and its value."""

    name: _MetricName
    help: str
    type: Literal["counter", "gauge", "histogram"]
    samples: tuple[_MetricSample, ...]


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """What a process had measured. `since` is when it began, in seconds since the epoch."""

    process: Annotated[str, Field(min_length=1)]
    since: Annotated[float, Field(allow_inf_nan=False)]
    families: tuple[MetricFamily, ...]


_SNAPSHOT_ADAPTER = TypeAdapter(MetricsSnapshot)


def _dump_snapshot(measures: ProcessMetrics, since: float) -> bytes:
    families = tuple(
        MetricFamily(
            metric.name,
            metric.documentation,
            cast(Literal["counter", "gauge", "histogram"], metric.type),
            # When each series began says nothing here: a process's all began with it.
            tuple((s.name, s.labels, s.value) for s in metric.samples if not s.name.endswith("_created")),
        )
        for metric in measures.collect()
    )
    return _SNAPSHOT_ADAPTER.dump_json(MetricsSnapshot(measures.process, since, families))


class _SnapshotPublisher:
    def __init__(self, measures: ProcessMetrics, redis_url: str) -> None:
        self._measures = measures
        self._redis_url = redis_url
        # A process that was replaced may live on for a moment: it does not overwrite what its successor says.
        self._name = f"{measures.process}/{uuid4().hex[:8]}"
        self._started_at = time.time()
        self._last_snapshot = b""
        self._renewed_at = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Publish until told to stop, and then once more."""
        with sync_redis(self._redis_url) as connection:
            while True:
                is_last = self.stopping.wait(PUBLISH_INTERVAL_S)
                try:
                    self._publish(connection)
                except (redis.RedisError, OSError):
                    self._measures.count_unpublished()
                if is_last:
                    return

    def _publish(self, connection: redis.Redis) -> None:
        # A wall clock that is set back must not put the renewal off: in Redis they would come to an end.
        now, monotonic_now = time.time(), time.monotonic()
        snapshot = _dump_snapshot(self._measures, self._started_at)
        if snapshot == self._last_snapshot and monotonic_now - self._renewed_at < RENEW_INTERVAL_S:
            return
        pipe = connection.pipeline(transaction=False)
        pipe.set(redis_keys.metrics_snapshot(self._name), snapshot, ex=SNAPSHOT_TTL_S)
        pipe.zadd(redis_keys.measured_processes(), {self._name: now * 1000})
        pipe.zremrangebyscore(redis_keys.measured_processes(), "-inf", (now - PROCESS_LISTED_S) * 1000)
        pipe.execute()
        self._last_snapshot, self._renewed_at = snapshot, monotonic_now


@contextmanager
def publish_metrics(measures: ProcessMetrics, redis_url: str) -> Generator[None]:
    """Publish measures for as long as the block, from a thread with a connection of its own."""
    publisher = _SnapshotPublisher(measures, redis_url)
    thread = threading.Thread(target=publisher.run, name="measures", daemon=True)
    thread.start()
    try:
        yield
    finally:
        publisher.stopping.set()
        thread.join(CLOSE_TIMEOUT_S)


@dataclass(slots=True)
class MergedMetrics:
    """What all living processes measured.

    Attributes:
        since: when each of them began (seconds since the epoch), by its name.
        unread: snapshots that were left out.
        families: one of each name; each sample says of which `process` it is.
    """

    started_at: dict[str, float] = field(default_factory=dict[str, float])
    unread_count: int = 0
    families: dict[str, Metric] = field(default_factory=dict[str, Metric])


async def read_snapshots(connection: redis.asyncio.Redis) -> list[bytes]:
    """What the living processes published last. This process's own, too: asked of any, the answer never runs back."""
    names = cast(list[str], await connection.zrange(redis_keys.measured_processes(), 0, -1))
    if not names:
        return []
    # As bytes: one that is no text must not keep the others from being read.
    snapshots = await connection.execute_command(
        "MGET", *(redis_keys.metrics_snapshot(name) for name in names), **{NEVER_DECODE: True}
    )
    return [snapshot for snapshot in cast(list[bytes | None], snapshots) if snapshot is not None]


def merge_snapshots(snapshots: Iterable[bytes], reserved_names: Collection[str] = ()) -> MergedMetrics:
    """Put snapshots together. Of two of the same process the later one counts.

    Args:
        taken: names of families that no process may use.
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
    """Whether all its series can stand beside those of the others: of one type a family, each only once."""
    series = [(name, *sorted(labels.items())) for family in snapshot.families for name, labels, _ in family.samples]
    is_unlabelled = not any("process" in labels for family in snapshot.families for _, labels, _ in family.samples)
    has_same_types = all(
        family.name not in reserved_names
        and (family.name not in merged.families or merged.families[family.name].type == family.type)
        for family in snapshot.families
    )
    return is_unlabelled and has_same_types and len(set(series)) == len(series)
