"""Metrics for Prometheus, read from the databases at each scrape: any replica gives the same, a restart loses none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import text

from serve.http.services import Services, Use
from storage.placement import LaneRecord, list_lanes

router = APIRouter(tags=["health"])

# Questions to Redis, each on a connection of its own.


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: Use) -> Response:
    """What there is to count, over all meetings."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(await _count(services)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@dataclass(frozen=True, slots=True)
class _Counts:
    meetings: dict[str, int]
    entries: tuple[int, int]
    captions: dict[str, int]
    events: Counter[str]
    dead_letters: int
    lanes: list[LaneRecord]


async def _count(services: Services) -> _Counts:
    async with services.database.connect() as conn:
        statuses = await conn.execute(text("select status, count(*) from meetings group by status"))
        accepted, committed = (
            await conn.execute(
                text(
                    "select coalesce(sum(greatest(accepted, n)), 0)::bigint, coalesce(sum(n), 0)::bigint from meetings"
                )
            )
        ).one()
        captions = await conn.execute(
            text(
                "select c.status, count(*) from captions c join sentences s"
                " on s.meeting_id = c.meeting_id and s.id = c.sentence_id where not s.retracted group by c.status"
            )
        )
        kinds = await conn.execute(
            text("select key, sum(value::bigint)::bigint from meetings, jsonb_each(counters) group by key")
        )
        dead_letters = (await conn.execute(text("select count(*) from dead_letters"))).scalar_one()
        events = Counter[str]({row[0]: row[1] for row in kinds})
        lanes = await list_lanes(conn)
        return _Counts(
            meetings={row[0]: row[1] for row in statuses},
            entries=(accepted, committed),
            captions={row[0]: row[1] for row in captions},
            events=events,
            dead_letters=dead_letters,
            lanes=lanes,
        )


class _Snapshot(Collector):
    def __init__(self, counts: _Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts, now = self._counts, datetime.now(UTC)
        yield _gauge("parley_meetings", "Meetings", "status", counts.meetings)
        accepted, committed = counts.entries
        yield CounterMetricFamily("parley_entries_accepted", "Entries the log accepted", accepted)
        yield CounterMetricFamily("parley_entries_committed", "Entries worked off", committed)
        yield _gauge("parley_captions", "Captions of sentences that stand", "status", counts.captions)
        events = CounterMetricFamily("parley_events", "What went another way than usual", labels=["kind"])
        for kind, count in sorted(counts.events.items()):
            events.add_metric([kind], count)
        yield events
        yield CounterMetricFamily("parley_dead_letters", "Entries that could not be used", counts.dead_letters)
        lanes = counts.lanes
        yield _gauge("parley_lane_epoch", "Processes that took the lane over", "lane", {i.id: i.epoch for i in lanes})
        yield _gauge("parley_lane_open_meetings", "Open meetings", "lane", {i.id: i.open_meetings for i in lanes})
        yield _gauge("parley_lane_waiting", "Calls without an answer", "lane", {i.id: i.waiting for i in lanes})
        yield _gauge("parley_lane_log_entries", "Entries kept in the log", "lane", {i.id: i.log_length for i in lanes})
        silence = {i.id: (now - i.updated_at).total_seconds() for i in lanes}
        yield _gauge("parley_lane_silence_seconds", "Time since its last sign of life", "lane", silence)


def _gauge(name: str, help_text: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
