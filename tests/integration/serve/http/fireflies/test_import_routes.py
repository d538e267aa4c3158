"""Imports by the API: one, all since a date, the failed ones, and what is kept with the meeting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from tests.harness.api.fireflies_account import store_account
from tests.integration.flows.connectors.fireflies_harness import ConnectorHarness, running_connector

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]
pytestmark = pytest.mark.usefixtures("fireflies_secrets")

API = "/api/fireflies"


@pytest.fixture
def harness(aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis) -> ConnectorHarness:
    return ConnectorHarness(aengine, redis_async, redis_sync)


async def wait_for_counts(stage: ApiHarness, **counts: int) -> dict[str, Any]:
    while not counts.items() <= (status := (await stage.http.get(f"{API}/sync-status")).json())["imports"].items():
        await asyncio.sleep(0.05)
    return status


async def test_a_transcript_is_imported_with_progress(stage: ApiHarness, harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1)) as simulator:
        store_account(stage.engine, simulator.url)
        queued = await stage.http.post(f"{API}/import/past-1", json={"target_languages": ["es"]})
        assert (queued.status_code, queued.json()["state"]) == (202, "queued")
        assert (await stage.http.post(f"{API}/import/past-1")).status_code == 200
        async with running_connector(harness):
            await wait_for_counts(stage, done=1)
    done = (await stage.http.get(f"{API}/import/past-1")).json()
    assert (done["appended"], done["invalid"], done["detail"]) == (done["total"], 0, None)
    meeting = (await stage.http.get(f"/api/meetings/{done['meeting_id']}")).json()
    assert (meeting["clock"], meeting["config"]["target_languages"]) == ("recorded", ["es"])
    facts = (await stage.http.get(f"/api/meetings/{done['meeting_id']}/source-metadata")).json()
    assert (facts["source"], facts["external_id"]) == ("fireflies", "past-1")
    assert facts["content"]["meeting_attendees"]


async def test_all_since_a_date_and_the_failed_ones(stage: ApiHarness, harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=4)) as simulator:
        store_account(stage.engine, simulator.url)
        since = {"since": "2020-01-01"}
        run = await stage.http.post(f"{API}/sync-all", json=since)
        assert run.status_code == 202, run.text
        assert (await stage.http.post(f"{API}/sync-all", json=since)).status_code == 200
        await stage.http.post(f"{API}/import/nowhere")
        async with running_connector(harness):
            status = await wait_for_counts(stage, done=4, failed=1)
            assert (status["latest"]["state"], status["latest"]["listed"], status["latest"]["queued"]) == ("done", 4, 4)
            [failed] = (await stage.http.get(f"{API}/failed")).json()["imports"]
            assert (failed["transcript_id"], failed["detail"]) == (
                "nowhere",
                "Fireflies does not have what was requested",
            )
            assert (await stage.http.post(f"{API}/retry-failed")).json() == {"queued": 1}
            await wait_for_counts(stage, done=4, failed=1)
            reset = await stage.http.post(f"{API}/reset/past-1")
            assert (reset.status_code, reset.json()["state"]) == (202, "queued")
            await wait_for_counts(stage, done=4, failed=1)
    assert (await stage.http.post(f"{API}/reset/never")).status_code == 404
    future = await stage.http.post(f"{API}/sync-all", json={"since": "yesterday"})
    assert future.status_code == 422
