"""Killed replicas, hanging engines and failing engines: live meetings continue, and every caption is completed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from storage.store_urls import StoreUrls
from tests.chaos.faults.scripted_engines import ScriptedTranslationApp
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.systems.live_meetings import (
    HANG_TIMEOUT_S,
    captions_with_status,
    open_live_meetings,
    running_live_lane,
)
from tests.harness.lane.threaded_lane import wait_until

pytest_plugins = ["tests.harness.processes.ray_cluster"]
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_cluster", "clean_database"),
]

KILL_COUNT, KILL_INTERVAL_S = (18, 10.0) if FULL else (4, 4.0)
OUTAGE_S = 60.0 if FULL else 12.0
"""Seconds for which the engines fail."""

Report = Callable[[ScenarioRow], None]


@pytest.fixture
def urls(postgres_url: str, redis_url: str) -> StoreUrls:
    return StoreUrls(postgres_url, redis_url)


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> AsyncIterator[MeetingService]:
    """The ingest service, with its ledger running."""
    service = MeetingService(aengine, LogWriter(redis_async))
    ledger = asyncio.create_task(service.run_ledger())
    yield service
    ledger.cancel()


async def test_replicas_killed_under_load(
    urls: StoreUrls, engine: Engine, aengine: AsyncEngine, meetings: MeetingService, tmp_path: Path, report: Report
) -> None:
    live_meetings = await open_live_meetings(engine, aengine, meetings, 5)
    with ScriptedTranslationApp(tmp_path, 2) as service, running_live_lane(urls):
        async with live_meetings.sending(meetings, 0.5):
            await live_meetings.wait_until_translated()
            for _ in range(KILL_COUNT):
                # On a machine that starts replicas slowly there may be no replica at this moment.
                await wait_until(service.kill_replica, HANG_TIMEOUT_S)
                await asyncio.sleep(KILL_INTERVAL_S)
            recovery = await live_meetings.wait_until_recovered()
        result = await live_meetings.wait_for_result()
    pending_count = len(captions_with_status(result, "pending"))
    report(
        live_meetings.row("Serve replica killed", KILL_COUNT, result, recovery, **{"pending meanwhile": pending_count})
    )
    live_meetings.assert_complete(result)


async def test_a_hanging_engine_is_replaced(
    urls: StoreUrls, engine: Engine, aengine: AsyncEngine, meetings: MeetingService, tmp_path: Path, report: Report
) -> None:
    live_meetings = await open_live_meetings(engine, aengine, meetings, 5)
    with ScriptedTranslationApp(tmp_path, 2) as service, running_live_lane(urls):
        async with live_meetings.sending(meetings, 0.5):
            await live_meetings.wait_until_translated()
            hanging_pid, hung_at = service.hang_engine(), time.monotonic()
            # The test checks that the engine is replaced. The row reports the time, whose goal is 30 s.
            await wait_until(lambda: hanging_pid not in service.replica_pids(), HANG_TIMEOUT_S)
            evicted_after_s = time.monotonic() - hung_at
            recovery = await live_meetings.wait_until_recovered()
        result = await live_meetings.wait_for_result()
    pending = [caption for _, caption in captions_with_status(result, "pending")]
    report(
        live_meetings.row(
            "engine hanging", 1, result, recovery, **{"evicted s": evicted_after_s, "pending meanwhile": len(pending)}
        )
    )
    live_meetings.assert_complete(result)
    assert {caption["reason"] for caption in pending} == {"deadline"}


async def test_a_long_engine_outage(
    urls: StoreUrls,
    engine: Engine,
    aengine: AsyncEngine,
    redis_sync: redis.Redis,
    meetings: MeetingService,
    tmp_path: Path,
    report: Report,
) -> None:
    live_meetings = await open_live_meetings(engine, aengine, meetings, 10)
    with ScriptedTranslationApp(tmp_path) as service, running_live_lane(urls):
        async with live_meetings.sending(meetings, 2.0):
            await live_meetings.wait_until_translated()
            service.fail_all_engines()
            await asyncio.sleep(1)
            before = dict(live_meetings.last_ordinals)
            await asyncio.sleep(OUTAGE_S - 1)
            # Subscribers receive the sentences sent since then, all of them untranslated.
            await wait_until(
                lambda: _is_published_after(live_meetings.last_published(redis_sync), before), HANG_TIMEOUT_S
            )
            pending_count = live_meetings.count_pending()
            service.restore_engines()
            recovery = await live_meetings.wait_until_recovered()
        result = await live_meetings.wait_for_result()
    report(live_meetings.row(f"engine failing for {OUTAGE_S:.0f} s", 1, result, recovery, pending=pending_count))
    live_meetings.assert_complete(result)
    assert pending_count >= len(live_meetings.ids) * (OUTAGE_S / 2 - 5)


def _is_published_after(last_published: dict[str, int], before: dict[str, int]) -> bool:
    """Whether the last published sentence of each meeting is newer than the ordinals in `before`."""
    return all(last_published[title] > last_ordinal for title, last_ordinal in before.items())
