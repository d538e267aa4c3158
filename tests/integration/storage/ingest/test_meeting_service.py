"""Meetings on real servers: opened once, fed while open, and restored after Redis lost accepted entries."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
import redis
import redis.asyncio
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.entries import Chunk, MeetingEnded, MeetingStarted, SpeakerRenamed, parse_entry
from operators.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from storage import redis_keys
from storage.connections import async_redis
from storage.ingest.meeting_service import MeetingService
from storage.postgres import tables
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.meeting_queries import create_meeting, read_meeting
from storage.records import DEFAULT_TEAM_ID, MeetingRecord, MeetingStatus
from storage.redis_log.event_log import LogWriter, NewEvent
from storage.redis_log.lane_stream import LaneStream

T0 = 1_700_000_000_000
# Without an engine for insights, null becomes false.
CONFIG = MeetingConfig(target_languages=("pt",), notes=False)
LIVE, RECORDED = Clock.LIVE, Clock.RECORDED


def chunk_event(event_id: str, at: int | None = None) -> NewEvent:
    return NewEvent(event_id, Chunk(chunk_id=event_id, speaker="Ana", text="Olá.", start=0, end=1), at)


class MeetingsHarness:
    """A meeting service with its database and log, and functions that break them."""

    def __init__(self, engine: AsyncEngine, client: redis.asyncio.Redis, reader: redis.Redis) -> None:
        self.engine, self.client, self.reader = engine, client, reader
        self.log = LogWriter(client)
        self.meetings = MeetingService(engine, self.log)

    async def open(self, clock: Clock = LIVE, external_id: str | None = None) -> UUID:
        record, new = await self.meetings.open(
            DEFAULT_TEAM_ID, external_id=external_id, title="", clock=clock, config=CONFIG, at_ms=T0
        )
        assert new
        return record.id

    async def record(self, meeting_id: UUID) -> MeetingRecord:
        async with self.engine.connect() as conn:
            return await read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)

    async def commit(self, meeting_id: UUID, n: int, **values: object) -> None:
        """Commit a meeting up to an ordinal, as a lane does."""
        async with self.engine.begin() as conn:
            await conn.execute(
                update(tables.meetings).where(tables.meetings.c.id == meeting_id).values(last_committed=n, **values)
            )

    async def append(self, meeting_id: UUID, *events: NewEvent) -> list[str]:
        answers = await self.meetings.append(DEFAULT_TEAM_ID, meeting_id, events)
        return [answer.reason or answer.outcome for answer in answers]

    def restart(self) -> None:
        """Replace the service, as a new process does: its cache is empty."""
        self.meetings = MeetingService(self.engine, self.log)

    def ordinals(self, lane: str = "live-1") -> list[int]:
        return [parse_entry(fields).n for _, fields in LaneStream(self.reader, lane).read("0", 1_000)]


@pytest.fixture
async def world(
    aengine: AsyncEngine, clean_database: None, redis_async: redis.asyncio.Redis, redis_sync: redis.Redis
) -> MeetingsHarness:
    async with aengine.begin() as conn:
        await ensure_lane(conn, "live-1", "live")
        await ensure_lane(conn, "batch-1", "batch")
    return MeetingsHarness(aengine, redis_async, redis_sync)


@pytest.mark.parametrize(("clock", "lane"), [(LIVE, "live-1"), (RECORDED, "batch-1")])
async def test_opening_places_a_meeting_and_starts_its_log(world: MeetingsHarness, clock: Clock, lane: str) -> None:
    meeting_id = await world.open(clock)
    record = await world.record(meeting_id)
    ((log_id, fields),) = LaneStream(world.reader, lane).read("0", 10)
    entry = parse_entry(fields)
    assert (record.lane_id, record.log_id, entry.meeting_id) == (lane, log_id, str(meeting_id))
    assert entry.payload == MeetingStarted(clock=clock, generation=1, config=CONFIG, began_at=entry.arrived_at)
    assert (entry.arrived_at == T0) == (clock is RECORDED)


async def test_a_repeated_opening_returns_the_meeting(world: MeetingsHarness) -> None:
    meeting_id = await world.open(external_id="x")
    for _ in range(2):
        record, new = await world.meetings.open(
            DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG, at_ms=None
        )
        assert (record.id, new) == (meeting_id, False)
        world.restart()
    assert world.ordinals() == [1]


async def test_concurrent_openings_open_one_meeting(world: MeetingsHarness) -> None:
    found = await asyncio.gather(
        *(world.meetings.open(DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG) for _ in range(5))
    )
    assert len({record.id for record, _ in found}) == 1
    assert sum(new for _, new in found) == 1
    assert world.ordinals() == [1]


@pytest.mark.parametrize("crash", ["before the log", "before the note"])
async def test_opening_is_safe_to_repeat_after_a_crash(world: MeetingsHarness, crash: str) -> None:
    async with world.engine.begin() as conn:
        record, _ = await create_meeting(
            conn, team_id=DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG, lane_id="live-1"
        )
    if crash == "before the note":
        await world.log.open(
            team_id=DEFAULT_TEAM_ID, meeting_id=str(record.id), lane_id="live-1", clock=LIVE, config=CONFIG, at_ms=None
        )
        await world.log.append(str(record.id), [chunk_event("e")])
    again, new = await world.meetings.open(DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG)
    assert (again.id, new) == (record.id, False)
    assert again.log_id == LaneStream(world.reader, "live-1").read("0", 1)[0][0]
    assert again.counters == {}
    assert world.ordinals() == ([1] if crash == "before the log" else [1, 2])


async def test_a_recording_needs_its_start_time_and_a_meeting_a_lane(world: MeetingsHarness) -> None:
    with pytest.raises(InvalidInputError, match="at"):
        await world.meetings.open(DEFAULT_TEAM_ID, external_id="x", title="", clock=RECORDED, config=CONFIG)
    async with world.engine.begin() as conn:
        await conn.execute(text("delete from lanes"))
    with pytest.raises(UnavailableError, match="live lane"):
        await world.meetings.open(DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG)


async def test_only_its_team_can_append_to_a_meeting(world: MeetingsHarness) -> None:
    async with world.engine.begin() as conn:
        await conn.execute(insert(tables.teams).values(id="b", name="B"))
    meeting_id = await world.open()
    for _ in range(2):
        for call in (
            world.meetings.append("b", meeting_id, [chunk_event("e")]),
            world.meetings.pause("b", meeting_id),
            world.meetings.resume("b", meeting_id),
            world.meetings.end("b", meeting_id),
            world.meetings.append(DEFAULT_TEAM_ID, uuid4(), [chunk_event("e")]),
        ):
            with pytest.raises(NotFoundError):
                await call
        # In the second round the meeting's team is cached.
        assert await world.append(meeting_id) == []
    assert world.ordinals() == [1]


async def test_accepted_ordinals_reach_postgres(world: MeetingsHarness) -> None:
    meeting_id = await world.open()
    await world.append(meeting_id, chunk_event("a"), chunk_event("b"))
    await world.meetings.flush_ledger()
    assert (await world.record(meeting_id)).last_accepted == 3


async def test_a_meeting_is_ended_once_and_stays_ended(world: MeetingsHarness) -> None:
    meeting_id = await world.open()
    await world.meetings.end(DEFAULT_TEAM_ID, meeting_id, "host left")
    await world.meetings.end(DEFAULT_TEAM_ID, meeting_id)
    assert await world.append(meeting_id, chunk_event("late")) == ["ended"]
    entries = [parse_entry(fields) for _, fields in LaneStream(world.reader, "live-1").read("0", 10)]
    assert [entry.payload for entry in entries][1:] == [MeetingEnded(reason="host left")]
    # Nothing changes after the lane has processed the meeting, and Redis has lost it.
    await world.commit(meeting_id, 2, status="ended")
    world.reader.flushdb()
    assert await world.append(meeting_id, chunk_event("later")) == ["ended"]
    await world.meetings.end(DEFAULT_TEAM_ID, meeting_id)
    with pytest.raises(ConflictError, match="ended"):
        await world.meetings.pause(DEFAULT_TEAM_ID, meeting_id)
    assert world.ordinals() == []


async def test_a_paused_meeting_continues_after_resume(world: MeetingsHarness) -> None:
    meeting_id = await world.open()
    await world.commit(meeting_id, 1, status="live")
    await world.meetings.pause(DEFAULT_TEAM_ID, meeting_id)
    assert (await world.record(meeting_id)).status == "paused"
    assert await world.append(meeting_id, chunk_event("a")) == ["paused"]
    # The pause survives a loss of Redis' data.
    world.reader.flushdb()
    assert await world.append(meeting_id, chunk_event("b")) == ["paused"]
    await world.meetings.resume(DEFAULT_TEAM_ID, meeting_id)
    assert (await world.record(meeting_id)).status == "live"
    assert await world.append(meeting_id, chunk_event("a")) == ["accepted"]


async def test_a_failed_meeting_accepts_nothing_more(world: MeetingsHarness) -> None:
    meeting_id = await world.open()
    LaneStream(world.reader, "live-1").refuse_all(str(meeting_id))
    await world.commit(meeting_id, 1, status="failed")
    for _ in range(2):
        assert await world.append(meeting_id, chunk_event("later")) == ["failed"]
        for refused in (world.meetings.pause, world.meetings.resume):
            with pytest.raises(ConflictError, match="failed"):
                await refused(DEFAULT_TEAM_ID, meeting_id)
        # Postgres still has the status after Redis has lost it.
        world.reader.flushdb()
    assert world.ordinals() == []


@pytest.mark.parametrize("status", ["created", "timed_out"])
async def test_resuming_changes_only_a_paused_meeting(world: MeetingsHarness, status: MeetingStatus) -> None:
    meeting_id = await world.open()
    await world.commit(meeting_id, 1, status=status)
    await world.meetings.resume(DEFAULT_TEAM_ID, meeting_id)
    assert (await world.record(meeting_id)).status == status


# --- Redis loses data ---


async def open_accepted_meeting(world: MeetingsHarness, committed: int, clock: Clock = LIVE) -> UUID:
    """Open a meeting with ten accepted entries that the ledger has stored, of which a lane has committed some."""
    meeting_id = await world.open(clock)
    await world.append(meeting_id, *(chunk_event(f"e{i}", T0) for i in range(9)))
    await world.meetings.flush_ledger()
    await world.commit(meeting_id, committed, status="live")
    return meeting_id


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(("committed", "lost"), [(10, 0), (7, 3)])
async def test_a_meeting_that_redis_lost_continues_and_the_loss_is_counted(
    world: MeetingsHarness, committed: int, lost: int, restarted: bool
) -> None:
    meeting_id = await open_accepted_meeting(world, committed)
    world.reader.flushdb()
    if restarted:
        world.restart()
    assert await world.append(meeting_id, chunk_event("new")) == ["accepted"]
    assert world.ordinals() == [11, 12], "a new start and the chunk; no ordinal is used twice"
    record = await world.record(meeting_id)
    assert record.counters.get("lost", 0) == lost
    assert await world.append(meeting_id, chunk_event("new"), chunk_event("newer")) == ["repeated", "accepted"]
    assert (await world.record(meeting_id)).counters == record.counters


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_meeting_whose_last_entries_redis_lost_continues(world: MeetingsHarness, restarted: bool) -> None:
    meeting_id = await open_accepted_meeting(world, 4)
    world.reader.hset(redis_keys.meeting_log_state(str(meeting_id)), "n", "6")
    if restarted:
        world.restart()
        assert await world.meetings.reconcile() == {meeting_id: 4}
    assert await world.append(meeting_id, chunk_event("new")) == ["accepted"]
    assert world.ordinals()[-1] == 11
    record = await world.record(meeting_id)
    assert record.counters == {"lost": 4}
    async with world.engine.connect() as conn:
        events = await conn.execute(select(tables.outbox.c.seq, tables.outbox.c.payload))
        assert [tuple(row) for row in events] == [(record.seq, {"status": "live", "counters": {"lost": 4}})]
    assert await world.meetings.reconcile() == {}


@pytest.mark.parametrize("lost", ["all", "last"])
async def test_renames_that_redis_lost_hold_in_the_next_generation(world: MeetingsHarness, lost: str) -> None:
    meeting_id = await open_accepted_meeting(world, 4)
    renamed = SpeakerRenamed(speaker="Ana", new_speaker="Anna")
    await world.commit(meeting_id, 4, speaker_renames=[renamed.model_dump(mode="json")])
    state = redis_keys.meeting_log_state(str(meeting_id))
    if lost == "all":
        world.reader.flushdb()
    else:
        world.reader.hset(state, mapping={"n": "2", "renames": ""})
    world.restart()
    await world.meetings.reconcile()
    world.reader.hset(state, "last_at", "0")
    assert await world.append(meeting_id, chunk_event("new")) == ["accepted"]
    entries = [parse_entry(fields) for _, fields in LaneStream(world.reader, "live-1").read("0", 100)]
    starts = [entry.payload for entry in entries if isinstance(entry.payload, MeetingStarted)]
    assert starts[-1].renames == (renamed,)


async def test_reconciling_counts_each_loss_once(world: MeetingsHarness) -> None:
    whole, short, gone = (
        await open_accepted_meeting(world, 10),
        await open_accepted_meeting(world, 8),
        await open_accepted_meeting(world, 3),
    )
    world.reader.delete(redis_keys.meeting_log_state(str(gone)))
    world.reader.hset(redis_keys.meeting_log_state(str(short)), "n", "9")
    world.restart()
    assert await world.meetings.reconcile() == {short: 1, gone: 7}
    assert await world.meetings.reconcile() == {}
    assert (await world.record(whole)).counters == {}
    for meeting_id, n in ((whole, 10), (short, 10), (gone, 11)):
        info = await world.log.read_state(str(meeting_id))
        assert info is not None
        assert info.last_ordinal == n


async def test_concurrent_restores_count_a_loss_once(world: MeetingsHarness) -> None:
    meeting_id = await open_accepted_meeting(world, 6)
    world.reader.flushdb()
    services = [MeetingService(world.engine, world.log) for _ in range(4)]
    answers = await asyncio.gather(
        *(service.append(DEFAULT_TEAM_ID, meeting_id, [chunk_event(f"new{i}")]) for i, service in enumerate(services))
    )
    assert {answer.outcome for (answer,) in answers} == {"accepted"}
    assert (await world.record(meeting_id)).counters == {"lost": 4}
    assert world.ordinals() == [11, 12, 13, 14, 15]


async def test_a_meeting_that_timed_out_long_ago_is_reopened(world: MeetingsHarness) -> None:
    meeting_id = await open_accepted_meeting(world, 10)
    await world.commit(meeting_id, 10, status="timed_out", generation=4)
    world.reader.flushdb()
    world.restart()
    assert await world.meetings.reconcile() == {}
    assert await world.append(meeting_id, chunk_event("new")) == ["accepted"]
    started = parse_entry(LaneStream(world.reader, "live-1").read("0", 1)[0][1])
    expected = MeetingStarted(clock=LIVE, generation=5, config=CONFIG, began_at=started.arrived_at)
    assert (started.n, started.payload) == (11, expected)
    assert (await world.record(meeting_id)).counters == {}


async def test_a_recording_that_redis_lost_waits_for_its_importer(world: MeetingsHarness) -> None:
    meeting_id = await open_accepted_meeting(world, 10, RECORDED)
    world.reader.flushdb()
    world.restart()
    assert await world.meetings.reconcile() == {}
    assert await world.log.read_state(str(meeting_id)) is None
    assert await world.append(meeting_id, chunk_event("new", T0 + 5)) == ["accepted"]
    times = [parse_entry(fields).arrived_at for _, fields in LaneStream(world.reader, "batch-1").read("0", 10)]
    assert times == [T0 + 5, T0 + 5]


async def test_a_recording_that_redis_lost_can_be_ended(world: MeetingsHarness) -> None:
    meeting_id = await open_accepted_meeting(world, 10, RECORDED)
    world.reader.flushdb()
    await world.meetings.end(DEFAULT_TEAM_ID, meeting_id, "its importer went silent")
    info = await world.log.read_state(str(meeting_id))
    assert info is not None
    assert info.status == "ended"


async def test_reconciling_stores_a_missing_first_log_id(world: MeetingsHarness) -> None:
    meeting_id = await world.open(RECORDED)
    log_id = (await world.record(meeting_id)).log_id
    await world.commit(meeting_id, 0, log_id=None)
    assert await world.meetings.reconcile() == {}
    assert (await world.record(meeting_id)).log_id == log_id is not None


async def test_reconciling_opens_the_log_of_a_row_without_one(world: MeetingsHarness) -> None:
    async with world.engine.begin() as conn:
        record, _ = await create_meeting(
            conn, team_id=DEFAULT_TEAM_ID, external_id=None, title="", clock=LIVE, config=CONFIG, lane_id="live-1"
        )
    assert await world.meetings.reconcile() == {}
    assert (await world.record(record.id)).log_id is not None
    assert world.ordinals() == [1]


async def test_an_opening_without_redis_can_be_repeated(world: MeetingsHarness) -> None:
    async with async_redis("redis://127.0.0.1:1/0") as nowhere:
        cut_off = MeetingService(world.engine, LogWriter(nowhere))
        with pytest.raises(UnavailableError):
            await cut_off.open(DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG)
    record, new = await world.meetings.open(DEFAULT_TEAM_ID, external_id="x", title="", clock=LIVE, config=CONFIG)
    assert not new
    assert record.log_id is not None
