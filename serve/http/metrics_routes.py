"""Metrics for Prometheus, read from the stores at each scrape.

So every replica returns the same, and a restart loses none. The metrics include the snapshots that each process stores in
Redis: see `storage.observability.metrics_federation`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from operators.meeting_config import Clock
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.load_metrics import collect_load_metrics
from serve.http.problems import problem_responses
from storage.observability.metrics_federation import MergedMetrics, merge_snapshots, read_snapshots
from storage.postgres.lane_registry import LaneRecord, list_lanes
from storage.postgres.stored_counts import (
    EntryCounts,
    PendingDeliveries,
    count_captions,
    count_dead_letters,
    count_entries,
    count_meetings,
    count_pending_deliveries,
    sum_counters,
)
from storage.records import MeetingStatus

router = APIRouter(tags=["health"])

_REDIS_TIMEOUT_S = 2.0
"""Seconds for Redis to return the snapshots: far less than the scrape timeout of Prometheus."""


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}} | problem_responses(503)
)
async def get_metrics(services: ServicesDep) -> Response:
    """Return the metrics of all meetings, lanes and processes, in Prometheus' text format."""
    registry = CollectorRegistry()
    counts = await _read_counts(services)
    load = await collect_load_metrics(services, counts.meetings, counts.events["timed_out"], counts.lanes)
    stored_families = [*_count_families(counts), *load]
    process_metrics = await _read_process_metrics(services, {family.name for family in stored_families})
    registry.register(_FamilyCollector([*stored_families, *_process_families(process_metrics)]))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@dataclass(frozen=True, slots=True)
class _StoredCounts:
    meetings: dict[tuple[MeetingStatus, Clock], int]
    entries: EntryCounts
    captions: dict[str, int]
    events: Counter[str]
    dead_letters: int
    deliveries: PendingDeliveries
    lanes: list[LaneRecord]


async def _read_counts(services: Services) -> _StoredCounts:
    async with services.database.connect() as conn:
        return _StoredCounts(
            meetings=await count_meetings(conn),
            entries=await count_entries(conn),
            captions=await count_captions(conn),
            events=await sum_counters(conn),
            dead_letters=await count_dead_letters(conn),
            deliveries=await count_pending_deliveries(conn),
            lanes=await list_lanes(conn),
        )


async def _read_process_metrics(services: Services, reserved_names: Collection[str]) -> MergedMetrics | None:
    """Read the metrics of the running processes; None if Redis is unavailable."""
    try:
        async with asyncio.timeout(_REDIS_TIMEOUT_S):
            snapshots = await read_snapshots(services.redis)
    except (RedisError, OSError):
        return None
    return merge_snapshots(snapshots, reserved_names)


class _FamilyCollector(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _count_families(counts: _StoredCounts) -> Iterator[Metric]:
    now = datetime.now(UTC)
    meetings = Counter[str]()
    for (status, _), number in counts.meetings.items():
        meetings[status] += number
    yield _labelled_gauge("parley_meetings", "Meetings", "status", meetings)
    accepted, committed = counts.entries
    yield CounterMetricFamily("parley_entries_accepted", "Entries that the log accepted", accepted)
    yield CounterMetricFamily("parley_entries_committed", "Entries processed and committed", committed)
    yield _labelled_gauge("parley_captions", "Captions of sentences that aren't retracted", "status", counts.captions)
    events = CounterMetricFamily("parley_events", "Unusual outcomes of events, by kind", labels=["kind"])
    for kind, count in sorted(counts.events.items()):
        # Timeouts are ends of meetings: `parley_meetings_ended`.
        if kind != "timed_out":
            events.add_metric([kind], count)
    yield events
    yield CounterMetricFamily("parley_dead_letters", "Entries that could not be processed", counts.dead_letters)
    yield GaugeMetricFamily(
        "parley_webhook_deliveries_pending", "Webhook deliveries that wait or are retried", counts.deliveries.number
    )
    yield GaugeMetricFamily(
        "parley_webhook_oldest_pending_seconds",
        "Age of the oldest pending webhook delivery",
        counts.deliveries.oldest_age_s,
    )
    lanes = counts.lanes
    yield _labelled_gauge(
        "parley_lane_epoch", "Processes that took the lane over", "lane", {i.id: i.epoch for i in lanes}
    )
    yield _labelled_gauge("parley_lane_open_meetings", "Open meetings", "lane", {i.id: i.open_meetings for i in lanes})
    yield _labelled_gauge(
        "parley_lane_pending_calls", "Calls in flight", "lane", {i.id: i.pending_calls for i in lanes}
    )
    yield _labelled_gauge(
        "parley_lane_log_entries", "Entries kept in the log", "lane", {i.id: i.log_length for i in lanes}
    )
    silence = {i.id: (now - i.updated_at).total_seconds() for i in lanes}
    yield _labelled_gauge("parley_lane_silence_seconds", "Time since the lane's last heartbeat", "lane", silence)


def _process_families(process_metrics: MergedMetrics | None) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "parley_redis_up", "Whether Redis returned the metrics of the processes", int(process_metrics is not None)
    )
    if process_metrics is None:
        return
    yield _labelled_gauge(
        "parley_process_start_time_seconds", "When each process started", "process", process_metrics.started_at
    )
    yield GaugeMetricFamily(
        "parley_snapshots_unreadable", "Processes whose metrics can't be read", process_metrics.unread_count
    )
    yield from process_metrics.families.values()


def _labelled_gauge(
    name: str, help_text: str, label: str, values: dict[str, int] | dict[str, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
