"""flows/lane/stateful_step.py in a real lane: a meeting whose state has an unknown schema fails, and no other meeting."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    ended_without_pending,
    open_lane_meeting,
    query_rows,
    running_lane,
    wait_until,
)


@pytest.mark.usefixtures("clean_database", "unhurried")
async def test_a_meeting_with_an_unreadable_state_fails_alone_and_its_state_is_kept(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    unreadable, readable = await open_lane_meeting(meetings, aengine), await open_lane_meeting(meetings, aengine)
    for meeting_id in (unreadable, readable):
        await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "The first. The", 0, 1, 1)])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: len(query_rows(engine, "select 1 from sentences")) == 2)
    with engine.begin() as connection:
        connection.execute(
            text("update meetings set state = jsonb_set(state, '{sentences,schema}', '99') where id = :id"),
            {"id": unreadable},
        )
    await append_events(meetings, unreadable, [chunk_event(2, "a", "Ann", "The first. The second.", 0, 2, 2)])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await append_events(
            meetings, readable, [chunk_event(2, "a", "Ann", "The first. The second.", 0, 2, 2), end_event(9)]
        )
        await wait_until(ended_without_pending(engine, readable))
        failed = "select status, end_reason, state from meetings where id = :id"
        await wait_until(lambda: query_rows(engine, failed, id=unreadable)[0][0] == "failed")
        await wait_until(lambda: len(query_rows(engine, "select 1 from dead_letters")) == 2)
        answers = await meetings.append(
            "default", unreadable, [chunk_event(3, "b", "Ann", "Is anybody there?", 4, 5, 5)]
        )
    assert [(a.outcome, a.reason) for a in answers] == [("refused", "failed")]
    [(_, reason, state)] = query_rows(engine, failed, id=unreadable)
    assert (reason, state) == ("its state of sentences has schema 99; this version reads 5", None)
    dead_letters = query_rows(
        engine, "select reason, fields ->> 'kind', fields ->> 'state' from dead_letters order by id"
    )
    assert [(why, kind) for why, kind, _ in dead_letters] == [(reason, "state"), ("its meeting failed", "chunk")]
    kept = next(state for _, kind, state in dead_letters if kind == "state")
    assert orjson.loads(kept)["sentences"]["schema"] == 99
    last = query_rows(
        engine, "select payload from outbox where meeting_id = :id and kind = 'status' order by seq desc", id=unreadable
    )
    assert any(payload.get("status") == "failed" and payload.get("reason") == reason for (payload,) in last)
