"""flows/jobs/outbox_relay.py: the relay publishes committed events that no lane published."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import OutboxRelay
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.threaded_lane import (
    LiveSubscriber,
    append_events,
    ended_without_pending,
    open_lane_meeting,
    running_lane,
    wait_until,
)
from tests.integration.flows.lane.test_lane import TALK, event_rows

pytestmark = pytest.mark.usefixtures("clean_database")


async def test_committed_events_that_were_not_published_are_published_in_order(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    relay = OutboxRelay(engine, redis_sync)
    assert relay.run_once() + relay.run_once() == 0, "everything was published by the lane"

    committed = len(event_rows(engine, meeting_id))
    redis_sync.set(redis_keys.published_seq(str(meeting_id)), 3)
    listener = LiveSubscriber(redis_sync, meeting_id)
    assert relay.run_once() == 0, "the lane gets one run to publish by itself"
    assert relay.run_once() == committed - 3
    assert relay.run_once() + relay.run_once() == 0
    assert [message["seq"] for message in listener.receive_all()] == list(range(4, committed + 1))
