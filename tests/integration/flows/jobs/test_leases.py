"""flows/jobs/leases.py: a recorded meeting whose importer died ends when its lease expires."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import LeaseExpiry
from operators.meeting_config import Clock
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LEASE_MS, LogWriter
from storage.redis_log.lane_stream import LaneStream
from tests.harness.lane.threaded_lane import (
    append_events,
    ended_without_pending,
    open_lane_meeting,
    query_rows,
    running_lane,
    wait_until,
)
from tests.integration.flows.lane.test_lane import SENTENCES, TALK

pytestmark = pytest.mark.usefixtures("clean_database")


async def test_the_meeting_of_a_dead_importer_ends(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    log_writer = LogWriter(redis_async)
    meetings = MeetingService(aengine, log_writer)
    meeting_id = await open_lane_meeting(meetings, aengine)
    live_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    await append_events(meetings, meeting_id, TALK[:-1])
    now = LaneStream(redis_sync, "batch-1").now_ms()
    leases = LeaseExpiry(aengine, log_writer, meetings)
    assert await leases.run_once(now) == 0
    assert await leases.run_once(now + LEASE_MS + 5_000) == 1
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    stored = query_rows(engine, "select speaker, text from sentences where not retracted")
    assert sorted(stored) == sorted(SENTENCES)
    assert query_rows(engine, "select end_reason from meetings where id = :id", id=meeting_id) == [
        ("its importer went silent",)
    ]
    assert query_rows(engine, "select status from meetings where id = :id", id=live_id) == [("created",)]


async def test_an_importer_whose_lease_redis_lost_gets_a_new_full_lease(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis
) -> None:
    log_writer = LogWriter(redis_async)
    meetings = MeetingService(aengine, log_writer)
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK[:4])
    with engine.begin() as connection:
        connection.execute(text("update meetings set created_at = created_at - interval '1 hour'"))
    leases, now = LeaseExpiry(aengine, log_writer, meetings), LaneStream(redis_sync, "batch-1").now_ms()
    redis_sync.flushdb()
    assert await leases.run_once(now) == 0
    assert await leases.run_once(now + LEASE_MS) == 0
    # An append of the importer renews its lease, even after Redis lost it.
    await append_events(meetings, meeting_id, TALK[4:6])
    assert await leases.run_once(now + LEASE_MS + 1) == 0
    redis_sync.flushdb()
    later = now + LEASE_MS + 2
    assert await leases.run_once(later) == 0
    assert await leases.run_once(later + LEASE_MS + 1) == 1


async def test_a_meeting_that_failed_in_the_log_is_not_ended_again(
    aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis
) -> None:
    log_writer = LogWriter(redis_async)
    meetings = MeetingService(aengine, log_writer)
    meeting_id = await open_lane_meeting(meetings, aengine)
    log_reader = LaneStream(redis_sync, "batch-1")
    # The meeting failed in Redis, and its lane has not stored that in Postgres yet.
    log_reader.refuse_all(str(meeting_id))
    leases = LeaseExpiry(aengine, log_writer, meetings)
    assert await leases.run_once(log_reader.now_ms() + LEASE_MS + 5_000) == 0
    assert not meetings.unstored_counts(meeting_id)
