"""Replicas that are killed, engines that fall silent, engines that are dead: live meetings go on, and every caption comes."""

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

from storage.embedded import StoreUrls
from storage.log import Log
from storage.meetings import Meetings
from tests.chaos.engines import Service
from tests.chaos.hall import PATIENCE, flow, open_hall, tell
from tests.chaos.report import FULL, Row
from tests.harness.lanes import until

pytest_plugins = ["tests.harness.ray_cluster"]
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_cluster", "clean_database"),
]

KILLS, KILL_EVERY = (18, 10.0) if FULL else (4, 4.0)
DEAD = 60.0 if FULL else 12.0
"""Seconds for which an engine is dead."""

Report = Callable[[Row], None]


@pytest.fixture
def urls(postgres_url: str, redis_url: str) -> StoreUrls:
    return StoreUrls(postgres_url, redis_url)


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> AsyncIterator[Meetings]:
    """The door, which goes on noting what it took."""
    door = Meetings(aengine, Log(redis_async))
    ledger = asyncio.create_task(door.run_ledger())
    yield door
    ledger.cancel()


async def test_replicas_killed_under_load(
    urls: StoreUrls, engine: Engine, aengine: AsyncEngine, meetings: Meetings, tmp_path: Path, report: Report
) -> None:
    hall = await open_hall(engine, aengine, meetings, 5)
    with Service(tmp_path, 2) as service, flow(urls):
        async with hall.talking(meetings, 0.5):
            await hall.translated()
            for _ in range(KILLS):
                # A machine that is slow to start replicas may have none left at this moment.
                await until(service.kill, PATIENCE)
                await asyncio.sleep(KILL_EVERY)
            recovery = await hall.recovered()
        outcome = await hall.outcome()
    owed = len(tell(outcome, "pending"))
    report(hall.row("Serve replica killed", KILLS, outcome, recovery, **{"owed meanwhile": owed}))
    hall.assert_sound(outcome)


async def test_an_engine_that_falls_silent(
    urls: StoreUrls, engine: Engine, aengine: AsyncEngine, meetings: Meetings, tmp_path: Path, report: Report
) -> None:
    hall = await open_hall(engine, aengine, meetings, 5)
    with Service(tmp_path, 2) as service, flow(urls):
        async with hall.talking(meetings, 0.5):
            await hall.translated()
            silent, began = service.wedge(), time.monotonic()
            # Whether it is replaced at all. How soon, its row says: it is to be 30 s.
            await until(lambda: silent not in service.replicas(), PATIENCE)
            evicted = time.monotonic() - began
            recovery = await hall.recovered()
        outcome = await hall.outcome()
    owed = [caption for _, caption in tell(outcome, "pending")]
    report(hall.row("engine silent", 1, outcome, recovery, **{"evicted s": evicted, "owed meanwhile": len(owed)}))
    hall.assert_sound(outcome)
    assert {caption["reason"] for caption in owed} == {"deadline"}


async def test_an_engine_that_is_dead_for_long(
    urls: StoreUrls,
    engine: Engine,
    aengine: AsyncEngine,
    redis_sync: redis.Redis,
    meetings: Meetings,
    tmp_path: Path,
    report: Report,
) -> None:
    hall = await open_hall(engine, aengine, meetings, 10)
    with Service(tmp_path) as service, flow(urls):
        async with hall.talking(meetings, 2.0):
            await hall.translated()
            service.die()
            await asyncio.sleep(1)
            before = dict(hall.taken)
            await asyncio.sleep(DEAD - 1)
            # Whoever follows is sent what was said since, and none of it is translated.
            await until(lambda: _ahead(hall.read_aloud(redis_sync), before), PATIENCE)
            debts = hall.debts()
            service.revive()
            recovery = await hall.recovered()
        outcome = await hall.outcome()
    report(hall.row(f"engine dead for {DEAD:.0f} s", 1, outcome, recovery, debts=debts))
    hall.assert_sound(outcome)
    assert debts >= len(hall.ids) * (DEAD / 2 - 5)


def _ahead(read_aloud: dict[str, int], before: dict[str, int]) -> bool:
    """Whether the last sentence that was sent of each meeting was said after all that was taken before."""
    return all(read_aloud[title] > taken for title, taken in before.items())
