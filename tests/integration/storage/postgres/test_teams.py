"""Teams: the limit of concurrent live meetings holds, even for concurrent openings."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from operators.errors import OverloadedError
from operators.meeting_config import Clock, MeetingConfig
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.meeting_queries import create_meeting
from storage.postgres.teams import check_live_limit, count_live_meetings, count_refusal
from storage.records import DEFAULT_TEAM_ID, MeetingRecord
from storage.redis_log.event_log import LogWriter


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: redis.asyncio.Redis, clean_database: None) -> MeetingService:
    async with aengine.begin() as conn:
        await ensure_lane(conn, "live-1", "live")
        await ensure_lane(conn, "batch-1", "batch")
    return MeetingService(aengine, LogWriter(redis_async))


async def open_meeting(
    meetings: MeetingService, external_id: str | None = None, clock: Clock = Clock.LIVE
) -> MeetingRecord:
    at = 1_700_000_000_000 if clock is Clock.RECORDED else None
    config = MeetingConfig()
    opened, _ = await meetings.open(
        DEFAULT_TEAM_ID, external_id=external_id, title="", clock=clock, config=config, at_ms=at, max_live=3
    )
    return opened


async def live_meeting_counts(aengine: AsyncEngine) -> dict[str, int]:
    async with aengine.connect() as conn:
        return await count_live_meetings(conn)


async def test_concurrent_openings_do_not_exceed_the_limit(meetings: MeetingService, aengine: AsyncEngine) -> None:
    opened = await asyncio.gather(*(open_meeting(meetings, f"x-{k}") for k in range(12)), return_exceptions=True)
    refused = [each for each in opened if isinstance(each, OverloadedError)]
    assert len(refused) == 9
    assert refused[0].reason == "limit"
    assert "no more than 3 live meetings" in refused[0].fix
    assert await live_meeting_counts(aengine) == {DEFAULT_TEAM_ID: 3}
    async with aengine.connect() as conn:
        assert (await conn.execute(text("select counters from teams"))).scalar_one() == {"refused:limit": 9}
        assert (await conn.execute(text("select count(*) from meetings"))).scalar_one() == 3


async def test_a_meeting_that_is_open_already_is_never_refused(meetings: MeetingService) -> None:
    first = await open_meeting(meetings, "mine")
    for _ in range(2):
        await open_meeting(meetings)
    assert (await open_meeting(meetings, "mine")).id == first.id
    with pytest.raises(OverloadedError):
        await open_meeting(meetings, "another")


async def test_recordings_do_not_count_as_live_meetings(meetings: MeetingService, aengine: AsyncEngine) -> None:
    for _ in range(5):
        await open_meeting(meetings, clock=Clock.RECORDED)
    for _ in range(3):
        await open_meeting(meetings)
    await open_meeting(meetings, clock=Clock.RECORDED)
    assert await live_meeting_counts(aengine) == {DEFAULT_TEAM_ID: 3}


@pytest.mark.parametrize("status", ["ended", "timed_out", "failed"])
async def test_a_meeting_that_is_over_makes_room(meetings: MeetingService, aengine: AsyncEngine, status: str) -> None:
    opened = [await open_meeting(meetings) for _ in range(3)]
    async with aengine.begin() as conn:
        turn = text("update meetings set status = :status where id = :id")
        await conn.execute(turn, {"status": status, "id": opened[0].id})
    await open_meeting(meetings)
    with pytest.raises(OverloadedError):
        await open_meeting(meetings)


async def test_each_team_has_a_separate_limit(db: AsyncConnection) -> None:
    await db.execute(text("insert into teams (id, name) values ('other', 'Other')"))
    await ensure_lane(db, "a", "live")
    await create_meeting(
        db, team_id="other", external_id=None, title="", clock=Clock.LIVE, config=MeetingConfig(), lane_id="a"
    )
    assert await count_live_meetings(db) == {DEFAULT_TEAM_ID: 0, "other": 1}
    await check_live_limit(db, DEFAULT_TEAM_ID, None, 1)
    with pytest.raises(OverloadedError):
        await check_live_limit(db, "other", None, 1)
    for _ in range(2):
        await count_refusal(db, "other", "limit")
    counted = await db.execute(text("select id, counters from teams order by id"))
    assert dict(counted.tuples().all())["other"] == {"refused:limit": 2}


async def test_the_commit_of_a_lane_does_not_wait_for_an_opening(
    meetings: MeetingService, aengine: AsyncEngine
) -> None:
    opened = await open_meeting(meetings)
    async with aengine.begin() as opening:
        await check_live_limit(opening, DEFAULT_TEAM_ID, None, 100)
        async with asyncio.timeout(60), aengine.begin() as lane:
            await lane.execute(
                text(
                    "insert into outbox (team_id, meeting_id, seq, kind, payload)"
                    " values ('default', :id, 1, 'status', '{}')"
                ),
                {"id": opened.id},
            )
