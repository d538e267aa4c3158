"""A recorded meeting whose importer died ends when its lease runs out."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.leases import end_expired
from operators.model import Clock
from storage.log import LEASE_MS, Log, LogReader
from storage.meetings import Meetings
from tests.harness.lanes import feed, open_recorded, over_and_paid, rows, running, until
from tests.integration.flows.test_lane import SENTENCES, TALK

pytestmark = pytest.mark.usefixtures("clean_database")


async def test_an_importer_that_died_leaves_a_meeting_that_ends(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    door = Log(redis_async)
    meetings = Meetings(aengine, door)
    meeting_id = await open_recorded(meetings, aengine)
    live_id = await open_recorded(meetings, aengine, clock=Clock.LIVE)
    await feed(meetings, meeting_id, TALK[:-1])
    now = LogReader(redis_sync, "batch-1").now_ms()
    assert await end_expired(aengine, door, meetings, now) == 0
    assert await end_expired(aengine, door, meetings, now + LEASE_MS + 5_000) == 1
    with running(postgres_url, redis_url, "batch-1"):
        await until(over_and_paid(engine, meeting_id))
    stored = rows(engine, "select speaker, text from sentences where not retracted")
    assert sorted(stored) == sorted(SENTENCES)
    assert rows(engine, "select end_reason from meetings where id = :id", id=meeting_id) == [
        ("its importer went silent",)
    ]
    assert rows(engine, "select status from meetings where id = :id", id=live_id) == [("created",)]
