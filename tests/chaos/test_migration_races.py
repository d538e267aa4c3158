"""What may come between the steps of a move: crashes, trimming, timeouts and a Redis that lost the last of them."""

from __future__ import annotations

import os
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.async_calls import CallResult
from flows.jobs import LaneAutoscaler, rebalance_lanes
from flows.lane import log_reader as reader_module
from flows.lane.committer import Committer
from flows.lane.draft_calls import DraftCalls
from flows.lane.envelope import Envelope
from flows.lane.heartbeat import beat
from flows.lane.log_reader import LaneReader
from flows.lane.pipeline import STEPS
from flows.lane.telemetry import LaneTelemetry
from operators.entries import Entry, MeetingStarted, Tick
from storage import redis_keys
from storage.batch_commit.lane_commit import claim_lane
from storage.ingest.meeting_service import MeetingService
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.tracing import open_traces
from storage.postgres.lane_registry import drain_lane, ensure_lane
from storage.redis_log.event_log import IDLE_TIMEOUT_MS, LogReader, LogWriter
from tests.chaos.results.reference_fold import MeetingFolds
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

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


class SteppedLane:
    """A lane that is taken step by step: it reads, works off and commits when it is told."""

    def __init__(self, engine: Engine, connection: redis.Redis, lane_id: str) -> None:
        with engine.begin() as transaction:
            epoch = claim_lane(transaction, lane_id, os.getpid(), "here")
        self.reader = LaneReader(LogReader(connection, lane_id), engine, lane_id, epoch, STEPS)
        measures = ProcessMetrics(f"lane/{lane_id}")
        telemetry = LaneTelemetry(lane_id, measures, open_traces(measures))
        self.committer = Committer(
            engine, connection, lane_id, epoch, STEPS, 1.0, self.reader, telemetry, DraftCalls(measures)
        )
        self._folds = MeetingFolds()
        self.uncommitted: list[Envelope] = self._folds.apply(self.reader.restored_states())

    def read(self) -> list[Envelope]:
        """Read what there is, and work it off."""
        self.reader._next_arrivals_poll = 0.0
        self.uncommitted += self._folds.apply(self.reader.read(10))
        return self.uncommitted

    def time_out(self, meeting_id: UUID) -> None:
        """Let half an hour pass for a meeting."""
        meeting = self.reader._meetings[str(meeting_id)]
        ticks = list(self.reader._ticks(meeting, str(meeting_id), meeting.ticks.last_at + IDLE_TIMEOUT_MS))
        self.uncommitted += self._folds.apply(ticks)

    def answer_all(self) -> None:
        """Answer what was asked; as owed, so that the backfill pays it."""
        requests = [request for fold in self._folds.by_meeting.values() for step in fold.steps for request in step[3]]
        self.committer.write([CallResult(request, None, 1, "deadline") for request in requests])

    def commit(self, count: int | None = None) -> None:
        """Commit what was read, or the first of it."""
        count = len(self.uncommitted) if count is None else count
        self.committer.write(list(self.uncommitted[:count]))
        del self.uncommitted[:count]


async def ensure_two_lanes(aengine: AsyncEngine) -> None:
    async with aengine.begin() as connection:
        for lane_id in ("batch-1", "batch-2"):
            await ensure_lane(connection, lane_id, "batch")


async def open_on_two_lanes(meetings: MeetingService, aengine: AsyncEngine, engine: Engine) -> tuple[UUID, str, str]:
    """A meeting, the lane it is on, and the other one."""
    await ensure_two_lanes(aengine)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    return meeting_id, lane, "batch-2" if lane == "batch-1" else "batch-1"


def sentence_texts(engine: Engine, meeting_id: UUID) -> list[str]:
    sentences = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    return [text for (text,) in sentences]


async def test_a_lane_that_dies_between_a_tick_and_the_entry_after_it_reads_that_again(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "So we", 0.0, 1.0, 1.0)])
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, [chunk_event(2, "b", "Ann", "go on.", 9.0, 10.0, 10.0)])
    # What others say in the meantime is committed there already.
    another = await open_lane_meeting(meetings, aengine)
    await meetings.move("default", another, other)
    giving, taking = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    taking.read()
    taking.commit()
    giving.read()
    giving.commit()
    read = taking.read()
    ticks = [k for k, one in enumerate(read) if isinstance(one.item, Tick)]
    assert ticks
    taking.commit(ticks[-1] + 1)
    beat(taking.committer, 0)
    again = SteppedLane(engine, redis_sync, other)
    entries = [one.n for one in again.read() if isinstance(one.item, Entry) and one.meeting_id == str(meeting_id)]
    assert entries == [3]


async def test_a_lane_that_starts_while_a_meeting_comes_back_takes_it_up_where_it_first_meets_it(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "One.", 0.0, 1.0, 1.0)])
    await meetings.move("default", meeting_id, other)
    giving, taking = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    giving.read()
    giving.commit()
    taking.read()
    taking.commit()
    # It starts again where it had seen nothing; the meeting is not its own at that moment.
    again = SteppedLane(engine, redis_sync, lane)
    await meetings.move("default", meeting_id, lane)
    taking.read()
    taking.commit()
    await append_events(meetings, meeting_id, [chunk_event(2, "b", "Ann", "Two.", 9.0, 10.0, 10.0)])
    # So it first meets it at the entry by which it had left.
    again.read()
    again.commit()
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, [chunk_event(3, "c", "Ann", "Three.", 18.0, 19.0, 19.0), end_event(30.0)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["One.", "Two.", "Three."]
    assert query_rows(engine, "select 1 from dead_letters") == []


async def test_a_lane_keeps_what_a_meeting_that_had_timed_out_says_in_it(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    giving, taking = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    giving.read()
    giving.time_out(meeting_id)
    giving.commit()
    giving.answer_all()
    await meetings.move("default", meeting_id, other)
    await append_events(
        meetings, meeting_id, [chunk_event(2, "b", "Ann", "Here again.", 4000.0, 4001.0, 4001.0), end_event(4002.0)]
    )
    # What others say in the meantime is committed there already.
    await meetings.move("default", await open_lane_meeting(meetings, aengine), other)
    taking.read()
    taking.commit()
    giving.read()
    giving.commit()
    assert any(isinstance(one.item, Entry) and isinstance(one.item.payload, MeetingStarted) for one in taking.read())
    # It dies before it has committed that; a sign of life came before.
    beat(taking.committer, 0)
    with running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["That was all.", "Here again."]


async def test_a_lane_that_dies_while_a_meeting_that_had_timed_out_leaves_lets_it_go_later(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    giving = SteppedLane(engine, redis_sync, lane)
    giving.read()
    giving.time_out(meeting_id)
    giving.commit()
    await meetings.move("default", meeting_id, other)
    await append_events(
        meetings, meeting_id, [chunk_event(2, "b", "Ann", "Here again.", 4000.0, 4001.0, 4001.0), end_event(4002.0)]
    )
    giving.read()
    giving.commit()
    # A call of it is not answered yet: so it has not left. A sign of life, then the lane dies.
    assert query_rows(engine, "select lane_id, status from meetings where id = :id", id=meeting_id) == [
        (lane, "timed_out")
    ]
    beat(giving.committer, 1)
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["That was all.", "Here again."]


async def test_a_move_that_redis_lost_though_it_is_committed_is_found_out(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "One.", 0.0, 1.0, 1.0)])
    meeting_key = redis_keys.meeting_log_state(str(meeting_id))
    before = redis_sync.hgetall(meeting_key)
    await meetings.move("default", meeting_id, other)
    with running_lane(postgres_url, redis_url, lane):
        await wait_until(
            lambda: query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id) == [(other,)]
        )
    # Redis comes back as it was a second ago.
    for one in (lane, other):
        newest = [log_id for log_id, fields in redis_sync.xrange(redis_keys.lane_log(one)) if fields["kind"] == "moved"]
        redis_sync.xdel(redis_keys.lane_log(one), *newest)
    redis_sync.hset(meeting_key, mapping=before)
    assert await meetings.reconcile() == {}
    await append_events(meetings, meeting_id, [chunk_event(2, "b", "Ann", "Two.", 9.0, 10.0, 10.0), end_event(20.0)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(ended_without_pending(engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["One.", "Two."]
    assert query_rows(engine, "select 1 from dead_letters") == []


async def test_what_a_meeting_that_can_not_go_on_said_on_its_way_is_kept_whole(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader_module, "READ_COUNT", 4)
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await meetings.move("default", meeting_id, other)
    await append_events(
        meetings, meeting_id, [chunk_event(k, f"c{k}", "Ann", f"Number {k}.", k, k + 0.9, k + 1.0) for k in range(20)]
    )
    giving, taking = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    for _ in range(10):
        taking.read()
    taking.commit()
    giving.read()
    giving.commit()
    with engine.begin() as connection:
        connection.execute(text("update meetings set state = '{}' where id = :id"), {"id": meeting_id})
    # It's given out in parts; each is committed, and the log trimmed, before the next is read.
    while taking.read():
        while taking.uncommitted:
            taking.commit(1)
            beat(taking.committer, 0)
    assert query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("failed",)]
    [(letters,)] = query_rows(engine, "select count(*) from dead_letters where meeting_id = :id", id=meeting_id)
    assert letters == 20 + 1
    # After that it needs nothing of the log.
    assert taking.committer.oldest_needed() is None


async def test_a_lane_that_dies_at_the_timeout_within_what_a_meeting_said_on_its_way_reads_the_rest_again(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    await append_events(
        meetings, meeting_id, [chunk_event(2, "b", "Ann", "Here again.", 4000.0, 4001.0, 4001.0), end_event(4002.0)]
    )
    giving, taking = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    taking.read()
    taking.commit()
    giving.read()
    giving.commit()
    read = taking.read()
    [timeout] = [k for k, one in enumerate(read) if isinstance(one.item, Tick) and one.item.is_idle]
    taking.commit(timeout + 1)
    assert query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("timed_out",)]
    beat(taking.committer, 0)
    with running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["That was all.", "Here again."]


async def test_a_meeting_on_its_way_is_not_sent_elsewhere(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis
) -> None:
    """Its lane may take a while, and the load of others changes in the meantime."""
    meeting_id, lane, _ = await open_on_two_lanes(meetings, aengine, engine)
    async with aengine.begin() as connection:
        await ensure_lane(connection, "batch-3", "batch")
        await drain_lane(connection, lane)
    balance, meeting_key = LaneAutoscaler(), redis_keys.meeting_log_state(str(meeting_id))
    assert await rebalance_lanes(aengine, redis_async, meetings, balance) == 1
    to = redis_sync.hget(meeting_key, "lane")
    assert to != lane
    # Now another lane has less to do.
    for _ in range(2):
        another = await open_lane_meeting(meetings, aengine)
        with engine.begin() as connection:
            connection.execute(text("update meetings set lane_id = :to where id = :id"), {"to": to, "id": another})
            connection.execute(text("update lanes set draining = true where id = :lane"), {"lane": lane})
    assert await rebalance_lanes(aengine, redis_async, meetings, balance) == 0
    assert redis_sync.hget(meeting_key, "lane") == to


def has_ended(engine: Engine, meeting_id: UUID) -> bool:
    return query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("ended",)]
