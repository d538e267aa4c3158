"""Tests storage/postgres/meeting_queries.py."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import NotFoundError
from operators.meeting_config import Clock, MeetingConfig, Term
from storage.postgres import tables
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.meeting_queries import create_meeting, list_meetings, list_open_meetings, read_meeting
from storage.records import DEFAULT_TEAM_ID, MeetingRecord

CONFIG = MeetingConfig(target_languages=("pt",))
LIVE = Clock.LIVE


async def create_weekly_meeting(
    db: AsyncConnection,
    external_id: str | None = None,
    team_id: str = DEFAULT_TEAM_ID,
    config: MeetingConfig = CONFIG,
) -> MeetingRecord:
    await ensure_lane(db, "a", "live")
    record, _ = await create_meeting(
        db, team_id=team_id, external_id=external_id, title="Weekly", clock=LIVE, config=config, lane_id="a"
    )
    return record


async def test_a_meeting_is_created_once(db: AsyncConnection) -> None:
    record = await create_weekly_meeting(db, "x")
    assert (record.status, record.last_committed, record.last_accepted, record.counters, record.config) == (
        "created",
        0,
        0,
        {},
        CONFIG,
    )
    assert record.id.version == 7
    again, new = await create_meeting(
        db,
        team_id=DEFAULT_TEAM_ID,
        external_id="x",
        title="Other",
        clock=Clock.RECORDED,
        config=MeetingConfig(),
        lane_id="a",
    )
    assert (again, new) == (record, False)
    assert (await create_weekly_meeting(db)).id != (await create_weekly_meeting(db)).id, (
        "without an id of the source's every meeting is new"
    )


async def test_a_team_finds_only_its_meetings(db: AsyncConnection) -> None:
    await db.execute(insert(tables.teams).values(id="b", name="B"))
    mine, other = await create_weekly_meeting(db, "x"), await create_weekly_meeting(db, "x", "b")
    assert mine.id != other.id
    assert await list_meetings(db, DEFAULT_TEAM_ID) == [mine]
    assert await read_meeting(db, "b", other.id) == other
    assert await list_meetings(db, "b") == [other]
    with pytest.raises(NotFoundError):
        await read_meeting(db, DEFAULT_TEAM_ID, other.id)
    assert await read_meeting(db, "b", other.id) == other


async def test_meetings_are_listed_newest_first_in_pages(db: AsyncConnection) -> None:
    made = [(await create_weekly_meeting(db)).id for _ in range(5)]
    await db.execute(update(tables.meetings).where(tables.meetings.c.id == made[1]).values(status="ended"))
    pages: list[UUID] = []
    last: UUID | None = None
    while page := await list_meetings(db, DEFAULT_TEAM_ID, limit=2, before=last):
        pages += [record.id for record in page]
        last = pages[-1]
    assert pages == made[::-1]
    assert [m.id for m in await list_meetings(db, DEFAULT_TEAM_ID, statuses=["ended"])] == [made[1]]
    assert [m.id for m in await list_open_meetings(db)] == [made[0], *made[2:]]


async def test_meetings_are_listed_without_their_glossaries(db: AsyncConnection) -> None:
    config = MeetingConfig(
        target_languages=("pt",), glossary=(Term(term="Parley", do_not_translate=True),), style="formal"
    )
    record = await create_weekly_meeting(db, config=config)
    assert (await read_meeting(db, DEFAULT_TEAM_ID, record.id)).config == config
    (listed,) = await list_meetings(db, DEFAULT_TEAM_ID)
    assert listed == record.model_copy(update={"config": config.model_copy(update={"glossary": ()})})
