"""How much is going on, as metrics: live meetings against their limit, how meetings were over, and how far lanes are behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import text

from operators.errors import Unavailable
from operators.model import Clock
from serve.http.services import Services
from storage.lag import lags
from storage.placement import LaneRecord, list_lanes
from storage.records import OVER_STATUSES
from storage.teams import live_meetings

_PATIENCE_S = 2.0
"""Seconds Redis gets to say how far the logs are."""


async def load(services: Services) -> list[Metric]:
    """The metrics, as of now. Without Redis the lanes' lag is not among them."""
    async with services.database.connect() as conn:
        rows = await conn.execute(text("select status, clock, count(*) from meetings group by status, clock"))
        statuses, clocks = Counter[str](), Counter[str]()
        for status, clock, number in rows:
            statuses[status] += number
            clocks[clock] += number
        # One that timed out may have gone on since: its counters know all the same.
        counted = await conn.execute(
            text("select coalesce(sum((counters ->> 'timed_out')::bigint), 0)::bigint from meetings")
        )
        over = {status: statuses[status] for status in OVER_STATUSES} | {"timed_out": counted.scalar_one()}
        live = await live_meetings(conn)
        lanes = await list_lanes(conn)
    opened = CounterMetricFamily("parley_meetings_opened", "Meetings begun", labels=["clock"])
    ended = CounterMetricFamily("parley_meetings_ended", "Times that meetings were over, by how", labels=["status"])
    limits = dict.fromkeys(live, services.options.max_live)
    states = GaugeMetricFamily("parley_lane_state", "1 for the state that a lane is in", labels=["lane", "state"])
    for lane in lanes:
        states.add_metric([lane.id, lane.state], 1)
    return [
        _filled(opened, {clock.value: clocks[clock] for clock in Clock}),
        _filled(ended, over),
        _filled(GaugeMetricFamily("parley_live_meetings", "Live meetings that are open", labels=["team"]), live),
        _filled(GaugeMetricFamily("parley_live_meetings_limit", "Those that may be at once", labels=["team"]), limits),
        _filled(
            GaugeMetricFamily(
                "parley_lane_lag_seconds", "Age of its oldest entry or due tick that is not committed", labels=["lane"]
            ),
            await _lags(services, lanes),
        ),
        states,
    ]


async def _lags(services: Services, lanes: Sequence[LaneRecord]) -> Mapping[str, float]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await lags(services.redis, {lane.id: lane.progress for lane in lanes})
    except (Unavailable, TimeoutError):
        # What Postgres knows is told all the same.
        return {}


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    """A family with one label, given its values."""
    for label, number in sorted(values.items()):
        family.add_metric([label], number)
    return family
