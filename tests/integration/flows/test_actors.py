"""flows/actors.py: the maintenance actor runs its jobs concurrently."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.actors import MaintenanceActor
from flows.jobs import WebhookOptions
from operators.meeting_config import Clock
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.doubles.webhook_receiver import running_receiver
from tests.harness.lane.threaded_lane import open_lane_meeting, wait_until
from tests.harness.lane.webhook_sender import (
    KEY,
    add_endpoint,
    commit_sentences,
    event_ids,
    open_stored_meeting,
)

pytestmark = pytest.mark.usefixtures("clean_database")


async def test_an_unreadable_row_of_one_job_stops_no_other_job(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    unreadable, other = [await open_lane_meeting(meetings, aengine, clock=Clock.LIVE) for _ in range(2)]
    with engine.begin() as connection:
        # A newer release can leave a config with a field that this release doesn't know.
        connection.execute(text("""update meetings set config = '{"unheard": 1}' where id = :id"""), {"id": unreadable})
        connection.execute(
            text(
                "insert into outbox (team_id, meeting_id, seq, kind, payload)"
                " values ('default', :id, 1, 'status', '{}')"
            ),
            {"id": other},
        )
    actor = MaintenanceActor(postgres_url, redis_url)
    running = asyncio.create_task(actor.run())
    try:
        await wait_until(lambda: running.done() or redis_sync.get(redis_keys.published_seq(str(other))) == "1")
        assert not running.done()
    finally:
        await actor.stop()
        await asyncio.wait([running])


async def test_the_actor_delivers_webhooks(
    aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str, redis_sync: redis.Redis
) -> None:
    meeting = open_stored_meeting(engine)
    async with running_receiver() as receiver:
        _, secret = await add_endpoint(aengine, receiver.url())
        receiver.secrets["hook"] = [secret]
        commit_sentences(engine, meeting, 2)
        options = WebhookOptions(KEY, private_allowed=True)
        assert KEY not in repr(options)
        actor = MaintenanceActor(postgres_url, redis_url, webhooks=options)
        running = asyncio.create_task(actor.run())
        try:
            await receiver.wait_for(lambda: len(receiver.received) == 2)
        finally:
            await actor.stop()
            await asyncio.wait([running])
        assert receiver.accepted_ids() == event_ids(meeting, 2)
