"""Tests serve/http/metrics_routes.py."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from serve.http import metrics_routes
from storage import redis_keys
from storage.observability import metrics_federation
from storage.observability.metrics_federation import publish_metrics
from storage.observability.process_metrics import ProcessMetrics
from tests.harness.api.metrics_exposition import sample_values

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the timeout of Redis, because the machine may be slow."""
    monkeypatch.setattr(metrics_routes, "_REDIS_TIMEOUT_S", 60.0)
    monkeypatch.setattr(metrics_federation, "CLOSE_TIMEOUT_S", 60.0)


async def scrape(stage: ApiHarness) -> dict[tuple[str, ...], float]:
    answer = await stage.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return sample_values(answer.text)


async def test_an_empty_system_has_zero_counts(stage: ApiHarness) -> None:
    found = await scrape(stage)
    assert found["parley_entries_accepted_total",] == 0
    assert found["parley_lane_epoch", "live-1"] == 0
    assert found["parley_lane_silence_seconds", "live-1"] < 60


async def test_events_are_counted_over_all_meetings(stage: ApiHarness) -> None:
    one, two = await stage.create_meeting(), await stage.create_meeting()
    chunk = {"chunk_id": "1", "speaker": "A", "text": "Hi.", "start": 0, "end": 1}
    events = {"events": [{"event_id": "e", "payload": chunk}]}
    await stage.http.post(f"/api/meetings/{one}/events", json=events)
    await stage.http.post(f"/api/meetings/{one}/events", json=events)
    stage.set_status(two, "paused")
    with stage.engine.begin() as conn:
        # Repeated events may be counted already.
        counted = '{"late": 2, "retried": 1}'
        conn.execute(
            text(f"update meetings set last_committed = 3, last_accepted = 5, counters = counters || '{counted}'")
        )
        conn.exec_driver_sql(
            'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
            " first_emitted, first_text, retracted)"
            " select 'default', %s, v, 1, 'A', 'Hi.', 0, 1, 'mark', 1, 'Hi.', v = 'r' from unnest(array['s', 'r']) v",
            (one,),
        )
        conn.exec_driver_sql(
            "insert into captions (team_id, meeting_id, sentence_id, language, revision, status)"
            " select 'default', %s, v, 'pt', 1, 'pending' from unnest(array['s', 'r']) v",
            (one,),
        )
    async with asyncio.timeout(60):
        # Refused events are stored about once a second.
        while ("parley_events_total", "repeated") not in (found := await scrape(stage)):
            await asyncio.sleep(0.1)
    assert found["parley_meetings", "created"] == 1
    assert found["parley_meetings", "paused"] == 1
    assert found["parley_entries_accepted_total",] == 10
    assert found["parley_entries_committed_total",] == 6
    assert found["parley_captions", "pending"] == 1
    assert found["parley_events_total", "late"] == 4
    assert found["parley_events_total", "retried"] == 2
    assert found["parley_events_total", "repeated"] == 1
    assert found["parley_lane_open_meetings", "live-1"] == 2


async def test_metrics_of_running_processes_are_included(stage: ApiHarness, redis_url: str) -> None:
    with (
        publish_metrics(ProcessMetrics("lane/live-1"), redis_url),
        publish_metrics(lane := ProcessMetrics("lane/live-2"), redis_url),
    ):
        lane.observe("commit", 0.02)
        lane.count_call("deadline", attempts=2)
    found = await scrape(stage)
    assert found["parley_redis_up",] == 1
    assert found["parley_snapshots_unreadable",] == 0
    assert found["parley_process_start_time_seconds", "lane/live-1"] > 0
    assert found["parley_process_start_time_seconds", "lane/live-2"] > 0
    assert found["parley_stage_seconds_bucket", "0.025", "lane/live-2", "commit"] == 1
    assert found["parley_calls_total", "deadline", "lane/live-2"] == 1
    assert found["parley_call_retries_total", "lane/live-2"] == 1
    assert ("parley_stage_seconds_count", "lane/live-1", "commit") not in found


async def test_unreadable_snapshots_do_not_affect_other_metrics(stage: ApiHarness) -> None:
    mine = b'{"process": "x", "since": 1, "families": [{"name": "parley_meetings", "help": "", "type": "gauge",'
    for name, dumped in (("broken", b"{"), ("taken", mine + b'"samples": []}]}')):
        stage.redis.set(redis_keys.metrics_snapshot(name), dumped)
        # With the current time, because publishing processes remove those from the list that are silent for long.
        stage.redis.zadd(redis_keys.measured_processes(), {name: time.time() * 1000})
    found = await scrape(stage)
    assert found["parley_snapshots_unreadable",] == 2
    assert found["parley_entries_accepted_total",] == 0


async def test_without_the_process_index_other_metrics_are_returned(stage: ApiHarness) -> None:
    stage.redis.set(redis_keys.measured_processes(), "not a sorted set")
    found = await scrape(stage)
    assert found["parley_redis_up",] == 0
    assert found["parley_lane_epoch", "live-1"] == 0
    assert ("parley_lane_lag_seconds", "live-1") in found
