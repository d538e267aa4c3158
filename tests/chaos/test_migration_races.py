"""Races between the steps of a meeting's move: crashes, log trimming, timeouts, and a Redis that lost its last writes."""

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
from storage.redis_log.event_log import IDLE_TIMEOUT_MS, LogWriter
from storage.redis_log.lane_stream import LaneStream
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
    """A lane driven step by step: it reads, processes and commits only when its methods are called."""

    def __init__(self, engine: Engine, connection: redis.Redis, lane_id: str) -> None:
        with engine.begin() as transaction:
            epoch = claim_lane(transaction, lane_id, os.getpid(), "here")
        self.reader = LaneReader(LaneStream(connection, lane_id), engine, lane_id, epoch, STEPS)
        metrics = ProcessMetrics(f"lane/{lane_id}")
        telemetry = LaneTelemetry(lane_id, metrics, open_traces(metrics))
        self.committer = Committer(
            engine, connection, lane_id, epoch, STEPS, 1.0, self.reader, telemetry, DraftCalls(metrics)
        )
        self._folds = MeetingFolds()
        self.uncommitted: list[Envelope] = self._folds.apply(self.reader.restored_states())

    def read(self) -> list[Envelope]:
        """Read and process the available entries. Returns all uncommitted envelopes."""
        self.reader._next_arrivals_poll = 0.0
        self.uncommitted += self._folds.apply(self.reader.read(10))
        return self.uncommitted

    def time_out(self, meeting_id: UUID) -> None:
        """Let the idle timeout pass for a meeting."""
        meeting = self.reader._meetings[str(meeting_id)]
        ticks = list(self.reader._ticks(meeting, str(meeting_id), meeting.ticks.last_at + IDLE_TIMEOUT_MS))
        self.uncommitted += self._folds.apply(ticks)

    def answer_all(self) -> None:
        """Answer all requests as missed deadlines, so that the backfill completes them."""
        requests = [request for fold in self._folds.by_meeting.values() for step in fold.steps for request in step[3]]
        self.committer.write([CallResult(request, None, 1, "deadline") for request in requests])

    def commit(self, count: int | None = None) -> None:
        """Commit the first `count` uncommitted envelopes, or all of them."""
        count = len(self.uncommitted) if count is None else count
        self.committer.write(list(self.uncommitted[:count]))
        del self.uncommitted[:count]


async def ensure_two_lanes(aengine: AsyncEngine) -> None:
    async with aengine.begin() as connection:
        for lane_id in ("batch-1", "batch-2"):
            await ensure_lane(connection, lane_id, "batch")


async def open_on_two_lanes(meetings: MeetingService, aengine: AsyncEngine, engine: Engine) -> tuple[UUID, str, str]:
    """Open a meeting. Returns its id, its lane and the other lane."""
    await ensure_two_lanes(aengine)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    return meeting_id, lane, "batch-2" if lane == "batch-1" else "batch-1"


def sentence_texts(engine: Engine, meeting_id: UUID) -> list[str]:
    sentences = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    return [text for (text,) in sentences]


async def test_a_lane_that_dies_between_a_tick_and_its_entry_reads_the_entry_again(
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
    # Entries of another meeting are already committed on the target lane.
    another = await open_lane_meeting(meetings, aengine)
    await meetings.move("default", another, other)
    source, target = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    target.read()
    target.commit()
    source.read()
    source.commit()
    read = target.read()
    ticks = [k for k, envelope in enumerate(read) if isinstance(envelope.item, Tick)]
    assert ticks
    target.commit(ticks[-1] + 1)
    beat(target.committer, 0)
    restarted = SteppedLane(engine, redis_sync, other)
    entries = [
        envelope.n
        for envelope in restarted.read()
        if isinstance(envelope.item, Entry) and envelope.meeting_id == str(meeting_id)
    ]
    assert entries == [3]


async def test_a_lane_restarted_while_a_meeting_moves_back_resumes_it_at_its_first_entry(
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
    source, target = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    source.read()
    source.commit()
    target.read()
    target.commit()
    # The lane restarts at its first position, while the meeting belongs to the other lane.
    restarted = SteppedLane(engine, redis_sync, lane)
    await meetings.move("default", meeting_id, lane)
    target.read()
    target.commit()
    await append_events(meetings, meeting_id, [chunk_event(2, "b", "Ann", "Two.", 9.0, 10.0, 10.0)])
    # So the first entry of the meeting that it reads is the one by which the meeting left.
    restarted.read()
    restarted.commit()
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, [chunk_event(3, "c", "Ann", "Three.", 18.0, 19.0, 19.0), end_event(30.0)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["One.", "Two.", "Three."]
    assert query_rows(engine, "select 1 from dead_letters") == []


async def test_a_lane_keeps_the_entries_of_a_timed_out_meeting_that_moves_to_it(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    source, target = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    source.read()
    source.time_out(meeting_id)
    source.commit()
    source.answer_all()
    await meetings.move("default", meeting_id, other)
    await append_events(
        meetings, meeting_id, [chunk_event(2, "b", "Ann", "Here again.", 4000.0, 4001.0, 4001.0), end_event(4002.0)]
    )
    # Entries of another meeting are already committed on the target lane.
    await meetings.move("default", await open_lane_meeting(meetings, aengine), other)
    target.read()
    target.commit()
    source.read()
    source.commit()
    assert any(
        isinstance(envelope.item, Entry) and isinstance(envelope.item.payload, MeetingStarted)
        for envelope in target.read()
    )
    # The lane dies before it commits that entry, but after a heartbeat.
    beat(target.committer, 0)
    with running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["That was all.", "Here again."]


async def test_a_lane_that_dies_while_a_timed_out_meeting_moves_away_releases_it_later(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id, lane, other = await open_on_two_lanes(meetings, aengine, engine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    source = SteppedLane(engine, redis_sync, lane)
    source.read()
    source.time_out(meeting_id)
    source.commit()
    await meetings.move("default", meeting_id, other)
    await append_events(
        meetings, meeting_id, [chunk_event(2, "b", "Ann", "Here again.", 4000.0, 4001.0, 4001.0), end_event(4002.0)]
    )
    source.read()
    source.commit()
    # One of its calls is in flight, so the meeting has not left. The lane dies after a heartbeat.
    assert query_rows(engine, "select lane_id, status from meetings where id = :id", id=meeting_id) == [
        (lane, "timed_out")
    ]
    beat(source.committer, 1)
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["That was all.", "Here again."]


async def test_a_committed_move_that_redis_lost_is_detected(
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
    # Redis returns to its state of a second ago.
    for lane_id in (lane, other):
        newest = [
            log_id for log_id, fields in redis_sync.xrange(redis_keys.lane_log(lane_id)) if fields["kind"] == "moved"
        ]
        redis_sync.xdel(redis_keys.lane_log(lane_id), *newest)
    redis_sync.hset(meeting_key, mapping=before)
    assert await meetings.reconcile() == {}
    await append_events(meetings, meeting_id, [chunk_event(2, "b", "Ann", "Two.", 9.0, 10.0, 10.0), end_event(20.0)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(ended_without_pending(engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["One.", "Two."]
    assert query_rows(engine, "select 1 from dead_letters") == []


async def test_all_entries_of_a_meeting_that_fails_during_its_move_become_dead_letters(
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
    source, target = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    for _ in range(10):
        target.read()
    target.commit()
    source.read()
    source.commit()
    with engine.begin() as connection:
        connection.execute(text("update meetings set state = '{}' where id = :id"), {"id": meeting_id})
    # The entries arrive in parts. Each part is committed, and the log trimmed, before the next is read.
    while target.read():
        while target.uncommitted:
            target.commit(1)
            beat(target.committer, 0)
    assert query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("failed",)]
    [(letters,)] = query_rows(engine, "select count(*) from dead_letters where meeting_id = :id", id=meeting_id)
    assert letters == 20 + 1
    # Then the lane needs no entry of the log any more.
    assert target.committer.oldest_needed() is None


async def test_a_lane_that_dies_at_a_timeout_during_a_move_reads_the_remaining_entries_again(
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
    source, target = SteppedLane(engine, redis_sync, lane), SteppedLane(engine, redis_sync, other)
    target.read()
    target.commit()
    source.read()
    source.commit()
    read = target.read()
    [timeout] = [k for k, envelope in enumerate(read) if isinstance(envelope.item, Tick) and envelope.item.is_idle]
    target.commit(timeout + 1)
    assert query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("timed_out",)]
    beat(target.committer, 0)
    with running_lane(postgres_url, redis_url, other):
        await wait_until(partial(has_ended, engine, meeting_id))
    assert sentence_texts(engine, meeting_id) == ["That was all.", "Here again."]


async def test_rebalancing_does_not_redirect_a_meeting_during_its_move(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis
) -> None:
    """A move may take a while, and the load of other lanes may change meanwhile."""
    meeting_id, lane, _ = await open_on_two_lanes(meetings, aengine, engine)
    async with aengine.begin() as connection:
        await ensure_lane(connection, "batch-3", "batch")
        await drain_lane(connection, lane)
    autoscaler, meeting_key = LaneAutoscaler(), redis_keys.meeting_log_state(str(meeting_id))
    assert await rebalance_lanes(aengine, redis_async, meetings, autoscaler) == 1
    target_lane = redis_sync.hget(meeting_key, "lane")
    assert target_lane != lane
    # Now another lane has less load.
    for _ in range(2):
        another = await open_lane_meeting(meetings, aengine)
        with engine.begin() as connection:
            connection.execute(
                text("update meetings set lane_id = :to where id = :id"), {"to": target_lane, "id": another}
            )
            connection.execute(text("update lanes set draining = true where id = :lane"), {"lane": lane})
    assert await rebalance_lanes(aengine, redis_async, meetings, autoscaler) == 0
    assert redis_sync.hget(meeting_key, "lane") == target_lane


def has_ended(engine: Engine, meeting_id: UUID) -> bool:
    return query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("ended",)]
