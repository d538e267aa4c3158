"""Metrics of the load: live meetings and tokens with their limits, ends of meetings by status, and the lag of lanes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from operators.errors import UnavailableError
from operators.meeting_config import Clock
from serve.http.dependencies.services import Services
from storage.ingest.lane_lag import read_lane_lags
from storage.postgres.lane_registry import LaneRecord
from storage.postgres.teams import count_live_meetings
from storage.postgres.token_usage import read_usage_by_team
from storage.records import CLOSED_STATUSES, MeetingStatus

_REDIS_TIMEOUT_S = 2.0
"""Seconds for Redis to report how far the logs are."""


async def collect_load_metrics(
    services: Services,
    meetings: Mapping[tuple[MeetingStatus, Clock], int],
    timed_out: int,
    lanes: Sequence[LaneRecord],
) -> list[Metric]:
    """Collect the current metrics. If Redis is unavailable, the lanes' lag is missing.

    Args:
        services: the database, Redis and the limits.
        meetings: the number of meetings by status and clock.
        timed_out: how often meetings timed out. A meeting may have been reopened since: only its counters tell.
        lanes: all lanes.
    """
    statuses, clocks = Counter[str](), Counter[str]()
    for (status, clock), meeting_count in meetings.items():
        statuses[status] += meeting_count
        clocks[clock] += meeting_count
    ended_by_status = {status: statuses[status] for status in CLOSED_STATUSES} | {"timed_out": timed_out}
    async with services.database.connect() as conn:
        live = await count_live_meetings(conn)
        tokens = await conn.run_sync(read_usage_by_team)
    opened = CounterMetricFamily("parley_meetings_opened", "Meetings begun", labels=["clock"])
    ended = CounterMetricFamily("parley_meetings_ended", "Ends of meetings, by status", labels=["status"])
    limits = dict.fromkeys(live, services.options.max_live)
    daily_tokens = services.options.daily_tokens
    token_limits = {} if daily_tokens is None else dict.fromkeys(tokens, daily_tokens)
    states = GaugeMetricFamily("parley_lane_state", "1 for the state that a lane is in", labels=["lane", "state"])
    for lane in lanes:
        states.add_metric([lane.id, lane.state], 1)
    return [
        _fill_family(opened, {clock.value: clocks[clock] for clock in Clock}),
        _fill_family(ended, ended_by_status),
        _fill_family(GaugeMetricFamily("parley_live_meetings", "Live meetings that are open", labels=["team"]), live),
        _fill_family(
            GaugeMetricFamily("parley_live_meetings_limit", "Most live meetings that may be open", labels=["team"]),
            limits,
        ),
        _fill_family(
            GaugeMetricFamily(
                "parley_tokens_today", "Tokens that notes, insights and answers took today (UTC)", labels=["team"]
            ),
            tokens,
        ),
        _fill_family(
            GaugeMetricFamily("parley_tokens_today_limit", "Most tokens that they may take in a day", labels=["team"]),
            token_limits,
        ),
        _fill_family(
            GaugeMetricFamily(
                "parley_lane_lag_seconds", "Age of the oldest entry or due tick that is not committed", labels=["lane"]
            ),
            await _read_lags(services, lanes),
        ),
        states,
    ]


async def _read_lags(services: Services, lanes: Sequence[LaneRecord]) -> Mapping[str, float]:
    try:
        async with asyncio.timeout(_REDIS_TIMEOUT_S):
            return await read_lane_lags(services.redis, {lane.id: lane.progress for lane in lanes})
    except (UnavailableError, TimeoutError):
        # The metrics from Postgres are reported without it.
        return {}


def _fill_family(family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    """Add a sample for each label value to a family with one label, and return the family."""
    for label, number in sorted(values.items()):
        family.add_metric([label], number)
    return family
