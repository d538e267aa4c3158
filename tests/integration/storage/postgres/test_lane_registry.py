"""Lanes: a meeting is placed on the least loaded lane of its kind."""

from __future__ import annotations

from typing import get_args

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from storage.postgres.lane_registry import drain_other_lanes, ensure_lane, find_least_loaded_lane, list_lanes
from storage.postgres.meeting_queries import create_meeting
from storage.postgres.tables import lanes, meetings
from storage.records import DEFAULT_TEAM_ID, OPEN_STATUSES, MeetingStatus


async def create_meeting_in_lane(db: AsyncConnection, lane_id: str, status: MeetingStatus = "created") -> None:
    record, _ = await create_meeting(
        db,
        team_id=DEFAULT_TEAM_ID,
        external_id=None,
        title="",
        clock=Clock.LIVE,
        config=MeetingConfig(),
        lane_id=lane_id,
    )
    await db.execute(update(meetings).where(meetings.c.id == record.id).values(status=status))


async def test_without_a_lane_no_meeting_can_be_placed(db: AsyncConnection) -> None:
    await ensure_lane(db, "live-1", "live")
    with pytest.raises(UnavailableError, match="batch lane"):
        await find_least_loaded_lane(db, "batch")


async def test_a_lane_is_added_once(db: AsyncConnection) -> None:
    await ensure_lane(db, "live-1", "live")
    await create_meeting_in_lane(db, "live-1")
    await ensure_lane(db, "live-1", "live")
    (lane,) = await list_lanes(db)
    assert (lane.id, lane.kind, lane.epoch, lane.open_meetings) == ("live-1", "live", 0, 1)


async def test_meetings_spread_over_the_lanes_of_their_kind(db: AsyncConnection) -> None:
    for lane_id, kind in (("b", "live"), ("a", "live"), ("c", "live"), ("z", "batch")):
        await ensure_lane(db, lane_id, "live" if kind == "live" else "batch")
    for _ in range(6):
        await create_meeting_in_lane(db, await find_least_loaded_lane(db, "live"))
    assert [(lane.id, lane.open_meetings) for lane in await list_lanes(db)] == [("a", 2), ("b", 2), ("c", 2), ("z", 0)]
    assert await find_least_loaded_lane(db, "batch") == "z"


@pytest.mark.parametrize("status", get_args(MeetingStatus))
async def test_only_open_meetings_count_as_load(db: AsyncConnection, status: MeetingStatus) -> None:
    await ensure_lane(db, "a", "live")
    await ensure_lane(db, "b", "live")
    await create_meeting_in_lane(db, "a", status)
    assert await find_least_loaded_lane(db, "live") == ("b" if status in OPEN_STATUSES else "a")


async def test_a_lane_in_a_crash_loop_gets_meetings_only_if_there_is_no_other(db: AsyncConnection) -> None:
    await ensure_lane(db, "a", "live")
    await db.execute(update(lanes).where(lanes.c.id == "a").values(state="crash_loop"))
    assert await find_least_loaded_lane(db, "live") == "a"
    await ensure_lane(db, "b", "live")
    await create_meeting_in_lane(db, "b")
    assert await find_least_loaded_lane(db, "live") == "b"


async def test_a_draining_lane_gets_no_new_meetings(db: AsyncConnection) -> None:
    await ensure_lane(db, "live-1", "live")
    await ensure_lane(db, "live-2", "live")
    await drain_other_lanes(db, ["live-2"])
    assert [(lane.id, lane.draining) for lane in await list_lanes(db)] == [("live-1", True), ("live-2", False)]
    assert await find_least_loaded_lane(db, "live") == "live-2"
    await ensure_lane(db, "live-1", "live")
    assert await find_least_loaded_lane(db, "live") == "live-1"
