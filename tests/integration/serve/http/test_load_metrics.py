"""Tests serve/http/load_metrics.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from serve.app_options import ApiOptions
from tests.harness.api.metrics_exposition import sample_values
from tests.harness.api.server_thread import run_api
from tests.harness.lane.fake_lane_writer import create_written_meeting

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def scrape(stage: ApiHarness) -> dict[tuple[str, ...], float]:
    return sample_values((await stage.http.get("/metrics")).text)


async def test_ended_and_open_meetings_are_counted(stage: ApiHarness) -> None:
    empty = await scrape(stage)
    assert [empty["parley_meetings_ended_total", status] for status in ("ended", "timed_out", "failed")] == [0, 0, 0]
    assert (empty["parley_live_meetings", "default"], empty["parley_live_meetings_limit", "default"]) == (0, 100)
    again, lane = await create_written_meeting(stage)
    lane.end("timed_out")
    lane.restart()
    for status in ("ended", "failed"):
        stage.set_status(await stage.create_meeting(), status)
    await stage.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    found = await scrape(stage)
    assert found["parley_meetings_opened_total", "live"] == 3
    assert found["parley_meetings_opened_total", "recorded"] == 1
    assert [found["parley_meetings_ended_total", status] for status in ("ended", "timed_out", "failed")] == [1, 1, 1]
    assert ("parley_events_total", "timed_out") not in found, "a timeout is no trouble"
    assert found["parley_live_meetings", "default"] == 1
    assert (await stage.http.get(f"/api/meetings/{again}")).json()["status"] == "live"


async def test_lane_lag_is_reported(stage: ApiHarness) -> None:
    log_id = stage.add_uncommitted_entry()
    found = await scrape(stage)
    assert 60 <= found["parley_lane_lag_seconds", "live-1"] < 600
    assert found["parley_lane_lag_seconds", "batch-1"] == 0
    assert (found["parley_lane_state", "batch-1", "stopped"], found["parley_lane_state", "live-1", "running"]) == (1, 1)
    stage.set_committed(log_id)
    assert (await scrape(stage))["parley_lane_lag_seconds", "live-1"] == 0


async def test_without_redis_other_metrics_are_returned(stage: ApiHarness, postgres_url: str) -> None:
    with run_api(ApiOptions(postgres_url, "redis://127.0.0.1:9/0")) as address:
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            metrics = (await client.get("/metrics")).text
    assert 'parley_live_meetings{team="default"} 0.0' in metrics
    assert "parley_lane_lag_seconds{" not in metrics
