"""The ledger: what was accepted reaches Postgres, past locked rows and servers that are away for a while."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.model import Clock, MeetingConfig
from storage.ingest import accepted_ledger
from storage.ingest.accepted_ledger import AcceptedLedger
from storage.ingest.meeting_service import create_meeting
from storage.postgres import tables
from storage.postgres.lane_registry import ensure_lane
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
    book = AcceptedLedger(aengine)
    for n in (5, 3, 7, 6):
        book.record_accepted(DEFAULT_TEAM_ID, rows[0].id, n)
        await book.flush()
    other = AcceptedLedger(aengine)
    other.record_accepted(DEFAULT_TEAM_ID, rows[0].id, 2)
    await other.flush()
    assert await accepted_ordinals(aengine) == [7, 0, 0]


async def test_a_row_that_a_lane_holds_is_noted_later(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    book = AcceptedLedger(aengine)
    for k, record in enumerate(rows):
        book.record_accepted(DEFAULT_TEAM_ID, record.id, k + 1)
    async with aengine.begin() as lane:
        await lane.execute(text("select 1 from meetings where id = :id for update"), {"id": rows[1].id})
        await asyncio.wait_for(book.flush(), 60)
        assert await accepted_ordinals(aengine) == [1, 0, 3]
    await book.flush()
    assert await accepted_ordinals(aengine) == [1, 2, 3]


async def test_meetings_that_are_noted_are_let_go(
    aengine: AsyncEngine, rows: list[MeetingRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_ledger, "MAX_MEETINGS", 1)
    book = AcceptedLedger(aengine)
    for record in rows:
        book.record_accepted(DEFAULT_TEAM_ID, record.id, 4)
    await book.flush()
    assert [book.get(record.id) for record in rows] == [None, None, None]
    assert await accepted_ordinals(aengine) == [4, 4, 4]


async def test_it_goes_on_after_postgres_was_away(
    aengine: AsyncEngine, rows: list[MeetingRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_ledger, "FLUSH_INTERVAL_S", 0.01)
    away = asyncio.Event()
    note = accepted_ledger.store_accepted

    async def refuses_once(*arguments: object) -> object:
        if not away.is_set():
            away.set()
            raise OperationalError("update", {}, ConnectionError("gone"))
        return await note(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(accepted_ledger, "store_accepted", refuses_once)
    book = AcceptedLedger(aengine)
    book.record_accepted(DEFAULT_TEAM_ID, rows[0].id, 4)
    task = asyncio.create_task(book.run())
    async with asyncio.timeout(60):
        while await accepted_ordinals(aengine) != [4, 0, 0]:
            await asyncio.sleep(0.01)
    task.cancel()
    assert away.is_set()


async def test_what_was_refused_is_counted_beside_what_a_lane_counts(
    aengine: AsyncEngine, rows: list[MeetingRecord]
) -> None:
    book = AcceptedLedger(aengine)
    first, second = rows[0].id, rows[1].id

    async def counters() -> list[dict[str, int]]:
        async with aengine.connect() as conn:
            found = await conn.execute(text("select counters from meetings order by id"))
            return list(found.scalars())

    async with aengine.begin() as conn:
        await conn.execute(text("update meetings set counters = '{\"late\": 2}' where id = :id"), {"id": first})
    book.count(first, ["refused:ended", "repeated", "repeated"])
    book.count(second, ["repeated"])
    assert book.unstored_counts(first) == {"refused:ended": 1, "repeated": 2}
    async with aengine.begin() as lane:
        await lane.execute(text("select 1 from meetings where id = :id for update"), {"id": second})
        await asyncio.wait_for(book.flush(), 60)
    assert (await counters())[:2] == [{"late": 2, "refused:ended": 1, "repeated": 2}, {}]
    assert (book.unstored_counts(first), book.unstored_counts(second)) == ({}, {"repeated": 1})
    book.count(first, ["repeated"])
    await book.flush()
    await book.flush()
    assert (await counters())[:2] == [{"late": 2, "refused:ended": 1, "repeated": 3}, {"repeated": 1}]


async def test_each_count_is_told_as_a_live_event(aengine: AsyncEngine, rows: list[MeetingRecord]) -> None:
    book = AcceptedLedger(aengine)
    async with aengine.begin() as conn:
        await conn.execute(text("update meetings set seq = 7, status = 'live'"))
    for names in (["repeated"], ["repeated", "refused:paused"]):
        book.count(rows[0].id, names)
        await book.flush()
    async with aengine.connect() as conn:
        told = await conn.execute(text("select meeting_id, seq, kind, payload from outbox order by seq"))
        assert [tuple(row) for row in told] == [
            (rows[0].id, 8, "status", {"status": "live", "counters": {"repeated": 1}}),
            (rows[0].id, 9, "status", {"status": "live", "counters": {"repeated": 2, "refused:paused": 1}}),
        ]
        seqs = await conn.execute(select(tables.meetings.c.seq).order_by(tables.meetings.c.id))
        assert list(seqs.scalars()) == [9, 7, 7]
