"""The ledger: accepted ordinals and counts reach Postgres, despite locked rows and an outage."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.meeting_config import Clock, MeetingConfig
from storage.ingest import accepted_ledger
from storage.ingest.accepted_ledger import AcceptedLedger
from storage.postgres import tables
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.meeting_queries import create_meeting
from storage.records import DEFAULT_TEAM_ID, MeetingRecord


@pytest.fixture
async def rows(aengine: AsyncEngine, clean_database: None) -> list[MeetingRecord]:
    async with aengine.begin() as conn:
        await ensure_lane(conn, "a", "live")
        return [
            (
                await create_meeting(
                    conn,
                    team_id=DEFAULT_TEAM_ID,
                    external_id=None,
                    title="",
                    clock=Clock.LIVE,
                    config=MeetingConfig(),
                    lane_id="a",
                )
            )[0]
            for _ in range(3)
        ]


async def accepted_ordinals(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as conn:
        return list(
            (await conn.execute(select(tables.meetings.c.last_accepted).order_by(tables.meetings.c.id))).scalars()
        )


async def test_ordinals_only_rise(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    ledger = AcceptedLedger(aengine)
    for n in (5, 3, 7, 6):
        ledger.record_accepted(DEFAULT_TEAM_ID, rows[0].id, n)
        await ledger.flush()
    other = AcceptedLedger(aengine)
    other.record_accepted(DEFAULT_TEAM_ID, rows[0].id, 2)
    await other.flush()
    assert await accepted_ordinals(aengine) == [7, 0, 0]


async def test_flushes_at_the_same_time_count_once(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    ledger = AcceptedLedger(aengine)
    for record in rows:
        ledger.count(record.id, ["late", "late"])
    await asyncio.gather(*(ledger.flush() for _ in range(5)))
    async with aengine.connect() as conn:
        stored = (await conn.execute(select(tables.meetings.c.counters))).scalars().all()
    assert [counters["late"] for counters in stored] == [2, 2, 2]


async def test_a_row_that_a_lane_has_locked_is_written_later(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    ledger = AcceptedLedger(aengine)
    for k, record in enumerate(rows):
        ledger.record_accepted(DEFAULT_TEAM_ID, record.id, k + 1)
    async with aengine.begin() as lane:
        await lane.execute(text("select 1 from meetings where id = :id for update"), {"id": rows[1].id})
        await asyncio.wait_for(ledger.flush(), 60)
        assert await accepted_ordinals(aengine) == [1, 0, 3]
    await ledger.flush()
    assert await accepted_ordinals(aengine) == [1, 2, 3]


async def test_stored_meetings_leave_the_cache(
    aengine: AsyncEngine, rows: list[MeetingRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_ledger, "MAX_MEETINGS", 1)
    ledger = AcceptedLedger(aengine)
    for record in rows:
        ledger.record_accepted(DEFAULT_TEAM_ID, record.id, 4)
    await ledger.flush()
    assert [ledger.get(record.id) for record in rows] == [None, None, None]
    assert await accepted_ordinals(aengine) == [4, 4, 4]


async def test_the_ledger_continues_after_an_outage_of_postgres(
    aengine: AsyncEngine, rows: list[MeetingRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_ledger, "FLUSH_INTERVAL_S", 0.01)
    away = asyncio.Event()
    store_accepted = accepted_ledger.store_accepted

    async def refuses_once(*arguments: object) -> object:
        if not away.is_set():
            away.set()
            raise OperationalError("update", {}, ConnectionError("gone"))
        return await store_accepted(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(accepted_ledger, "store_accepted", refuses_once)
    ledger = AcceptedLedger(aengine)
    ledger.record_accepted(DEFAULT_TEAM_ID, rows[0].id, 4)
    task = asyncio.create_task(ledger.run())
    async with asyncio.timeout(60):
        while await accepted_ordinals(aengine) != [4, 0, 0]:
            await asyncio.sleep(0.01)
    task.cancel()
    assert away.is_set()


async def test_refusals_add_to_the_counters_of_a_lane(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    ledger = AcceptedLedger(aengine)
    first, second = rows[0].id, rows[1].id

    async def counters() -> list[dict[str, int]]:
        async with aengine.connect() as conn:
            found = await conn.execute(text("select counters from meetings order by id"))
            return list(found.scalars())

    async with aengine.begin() as conn:
        await conn.execute(text("update meetings set counters = '{\"late\": 2}' where id = :id"), {"id": first})
    ledger.count(first, ["refused:ended", "repeated", "repeated"])
    ledger.count(second, ["repeated"])
    assert ledger.unstored_counts(first) == {"refused:ended": 1, "repeated": 2}
    async with aengine.begin() as lane:
        await lane.execute(text("select 1 from meetings where id = :id for update"), {"id": second})
        await asyncio.wait_for(ledger.flush(), 60)
    assert (await counters())[:2] == [{"late": 2, "refused:ended": 1, "repeated": 2}, {}]
    assert (ledger.unstored_counts(first), ledger.unstored_counts(second)) == ({}, {"repeated": 1})
    ledger.count(first, ["repeated"])
    await ledger.flush()
    await ledger.flush()
    assert (await counters())[:2] == [{"late": 2, "refused:ended": 1, "repeated": 3}, {"repeated": 1}]


async def test_each_flush_of_counts_emits_a_live_event(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    ledger = AcceptedLedger(aengine)
    async with aengine.begin() as conn:
        await conn.execute(text("update meetings set seq = 7, status = 'live'"))
    for names in (["repeated"], ["repeated", "refused:paused"]):
        ledger.count(rows[0].id, names)
        await ledger.flush()
    async with aengine.connect() as conn:
        events = await conn.execute(text("select meeting_id, seq, kind, payload from outbox order by seq"))
        assert [tuple(row) for row in events] == [
            (rows[0].id, 8, "status", {"status": "live", "counters": {"repeated": 1}}),
            (rows[0].id, 9, "status", {"status": "live", "counters": {"repeated": 2, "refused:paused": 1}}),
        ]
        seqs = await conn.execute(select(tables.meetings.c.seq).order_by(tables.meetings.c.id))
        assert list(seqs.scalars()) == [9, 7, 7]
