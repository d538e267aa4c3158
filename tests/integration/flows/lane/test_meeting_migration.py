"""Migration of meetings to another lane: the same rows as without a migration, even with restarts and failures."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.entries import Chunk, MeetingEnded
from operators.errors import ConflictError, FencedError, InvalidInputError, NotFoundError
from operators.meeting_config import Clock
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage import redis_keys
from storage.ingest.lane_lag import read_lane_lags
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import LaneProgress, add_lane, drain_lane, ensure_lane
from storage.redis_log.event_log import LogWriter, NewEvent
from storage.redis_log.lane_stream import LaneStream, parse_stream_id
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

pytestmark = pytest.mark.usefixtures("clean_database", "unhurried")

SENTENCES = (
    'select id, revision, speaker, text, start, "end", boundary, language, first_emitted, first_text, retracted'
    " from sentences where meeting_id = :id order by id"
)
CAPTIONS = (
    "select c.sentence_id, c.language, c.revision, c.status, c.text from captions c"
    " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where c.meeting_id = :id and not s.retracted order by 1, 2"
)


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


async def ensure_two_lanes(aengine: AsyncEngine, kind: str = "batch") -> None:
    async with aengine.begin() as connection:
        for lane_id in (f"{kind}-1", f"{kind}-2"):
            await ensure_lane(connection, lane_id, kind)  # type: ignore[arg-type]


def random_events(seed: int, entries: int) -> list[NewEvent]:
    """Make the events of a recording with two alternating speakers: growing chunks, revisions, pauses."""
    rng = random.Random(seed)
    events: list[NewEvent] = []
    at = 0.0
    for chunk in range(entries // 3):
        speaker, start = "AB"[chunk % 2], at
        words = [f"word{rng.randrange(50)}" for _ in range(6)]
        for k in (2, 4, 6):
            at += rng.choice((0.1, 0.4, 1.3, 6.0))
            end = "." if k == 6 and rng.random() < 0.7 else ""
            events.append(chunk_event(len(events), f"c{chunk}", speaker, " ".join(words[:k]) + end, start, at, at))
    return [*events, end_event(at + 3)]


async def run_baseline(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    events: list[NewEvent],
) -> tuple[Any, Any]:
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, events)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id), 120)
    return query_rows(engine, SENTENCES, id=meeting_id), query_rows(engine, CAPTIONS, id=meeting_id)


@pytest.mark.slow
async def test_a_meeting_moved_back_and_forth_fifty_times_has_the_same_rows(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    await ensure_two_lanes(aengine)
    events = random_events(1, 300)
    expected = await run_baseline(meetings, aengine, engine, postgres_url, redis_url, events)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    with running_lane(postgres_url, redis_url, "batch-1"), running_lane(postgres_url, redis_url, "batch-2"):
        for k in range(50):
            await append_events(meetings, meeting_id, events[k * 6 : (k + 1) * 6])
            lane = "batch-2" if lane == "batch-1" else "batch-1"
            assert await meetings.move("default", meeting_id, lane)
            if k % 5 == 0:
                # Some migrations get the time to complete before the next one.
                await wait_until(partial(is_on_lane, engine, meeting_id, lane))
        await append_events(meetings, meeting_id, events[300:])
        await wait_until(ended_without_pending(engine, meeting_id), 120)
    assert (query_rows(engine, SENTENCES, id=meeting_id), query_rows(engine, CAPTIONS, id=meeting_id)) == expected
    # Each live event is stored once, and `seq` has no gap.
    assert seqs(engine, meeting_id)
    [(n, accepted, state)] = query_rows(
        engine, "select last_committed, last_accepted, state from meetings where id = :id", id=meeting_id
    )
    assert (n, accepted, state) == (len(events) + 1, n, None)
    assert query_rows(engine, "select 1 from dead_letters") == []


def is_on_lane(engine: Engine, meeting_id: UUID, lane: str) -> bool:
    return query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id) == [(lane,)]


def seqs(engine: Engine, meeting_id: UUID) -> bool:
    found = [
        seq
        for (seq,) in query_rows(engine, "select seq from outbox where meeting_id = :id order by seq", id=meeting_id)
    ]
    return found == list(range(1, len(found) + 1))


@pytest.mark.parametrize("first", ["batch-1", "batch-2"])
async def test_a_meeting_is_migrated_whichever_lane_runs_first(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    first: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    events = random_events(2, 60)
    expected = await run_baseline(meetings, aengine, engine, postgres_url, redis_url, events)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    await append_events(meetings, meeting_id, events[:30])
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, events[30:])
    with ExitStack() as stack:
        stack.enter_context(running_lane(postgres_url, redis_url, first))
        if first == lane:
            await wait_until(partial(is_on_lane, engine, meeting_id, other))
        else:
            started = "select 1 from lanes where id = :lane and epoch > 0"
            await wait_until(lambda: bool(query_rows(engine, started, lane=first)))
        stack.enter_context(running_lane(postgres_url, redis_url, "batch-1" if first == "batch-2" else "batch-2"))
        await wait_until(ended_without_pending(engine, meeting_id), 120)
    assert (query_rows(engine, SENTENCES, id=meeting_id), query_rows(engine, CAPTIONS, id=meeting_id)) == expected


async def test_lanes_that_restart_during_migrations_lose_nothing(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    events = random_events(3, 180)
    expected = await run_baseline(meetings, aengine, engine, postgres_url, redis_url, events)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    rng = random.Random(3)
    for k in range(12):
        await append_events(meetings, meeting_id, events[k * 15 : (k + 1) * 15])
        lane = "batch-2" if lane == "batch-1" else "batch-1"
        await meetings.move("default", meeting_id, lane)
        with ExitStack() as stack:
            for lane_id in rng.sample(["batch-1", "batch-2"], rng.choice((1, 2))):
                stack.enter_context(running_lane(postgres_url, redis_url, lane_id))
            await asyncio.sleep(rng.uniform(0.0, 0.6))
    await append_events(meetings, meeting_id, events[180:])
    with running_lane(postgres_url, redis_url, "batch-1"), running_lane(postgres_url, redis_url, "batch-2"):
        await wait_until(ended_without_pending(engine, meeting_id), 120)
    assert (query_rows(engine, SENTENCES, id=meeting_id), query_rows(engine, CAPTIONS, id=meeting_id)) == expected
    assert seqs(engine, meeting_id)


async def test_a_meeting_is_released_after_its_calls_are_answered_so_captions_stay_in_order(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    may_answer = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def slow(request: TranslationRequest) -> Translation:
        loops.append(asyncio.get_running_loop())
        while not may_answer.is_set():
            await asyncio.sleep(0.01)
        return Translation(CaptionStatus.TRANSLATED, f"slow {request.text}", "slow 1")

    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    neighbour = await open_lane_meeting(meetings, aengine)
    while not is_on_lane(engine, neighbour, lane):
        neighbour = await open_lane_meeting(meetings, aengine)
    await append_events(
        meetings,
        meeting_id,
        [chunk_event(1, "a", "A", "The first.", 0, 1, 1), chunk_event(2, "b", "B", "Well.", 9, 10, 30)],
    )
    with running_lane(postgres_url, redis_url, lane, slow), running_lane(postgres_url, redis_url, other):
        await wait_until(lambda: bool(loops))
        await meetings.move("default", meeting_id, other)
        await append_events(meetings, meeting_id, [chunk_event(3, "c", "A", "The second.", 31, 32, 32), end_event(99)])
        # The lane processes the move before a later entry of another meeting.
        await append_events(meetings, neighbour, [chunk_event(1, "a", "A", "The first.", 0, 1, 1), end_event(9)])
        stored = "select 1 from sentences where meeting_id = :id"
        await wait_until(lambda: bool(query_rows(engine, stored, id=neighbour)))
        assert is_on_lane(engine, meeting_id, lane)
        may_answer.set()
        await wait_until(ended_without_pending(engine, meeting_id))
    captions = query_rows(
        engine,
        "select payload ->> 'text' from outbox where meeting_id = :id and kind = 'caption' order by seq",
        id=meeting_id,
    )
    assert [words for (words,) in captions] == ["slow The first.", "pt:WELL.", "pt:THE SECOND."]


async def test_a_meeting_that_another_lane_has_not_released_causes_no_lag(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_async: Any,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    migrating, resident = await open_lane_meeting(meetings, aengine), await open_lane_meeting(meetings, aengine)
    await meetings.move("default", migrating, "batch-2")
    await append_events(meetings, migrating, random_events(4, 30))
    await append_events(meetings, resident, random_events(5, 30))
    positions = "select log_id, retain_after from lanes where id = 'batch-2'"
    with running_lane(postgres_url, redis_url, "batch-2"):
        await wait_until(ended_without_pending(engine, resident))
        # The lane that would release the other meeting doesn't run: its entries are retained, and cause no lag.
        await wait_until(lambda: query_rows(engine, positions)[0][0] == LaneStream(redis_sync, "batch-2").last_id())
        [(log_id, retain_after)] = query_rows(engine, positions)
        assert parse_stream_id(retain_after) < parse_stream_id(log_id)
        assert await read_lane_lags(redis_async, {"batch-2": LaneProgress(log_id)}) == {"batch-2": 0.0}
    # After a restart the lane still has these entries.
    with running_lane(postgres_url, redis_url, "batch-1"), running_lane(postgres_url, redis_url, "batch-2"):
        await wait_until(ended_without_pending(engine, migrating))
        await wait_until(lambda: query_rows(engine, positions)[0][1] is None)
    expected = await run_baseline(meetings, aengine, engine, postgres_url, redis_url, random_events(4, 30))
    assert query_rows(engine, SENTENCES, id=migrating) == expected[0]


async def test_migrations_do_not_delay_the_ticks_of_a_live_meeting(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    """Ticks emit a sentence in the silence after it, and migrations don't delay them."""
    await ensure_two_lanes(aengine, "live")
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    [(lane, began)] = query_rows(engine, "select lane_id, log_id from meetings where id = :id", id=meeting_id)
    with (
        running_lane(postgres_url, redis_url, "live-1", kind="live"),
        running_lane(postgres_url, redis_url, "live-2", kind="live"),
    ):
        chunk = Chunk(chunk_id="a", speaker="Ann", text="Let us see.", start=0, end=1)
        [appended] = await meetings.append("default", meeting_id, [NewEvent("1", chunk)])
        for _ in range(6):
            lane = "live-2" if lane == "live-1" else "live-1"
            await meetings.move("default", meeting_id, lane)
            await asyncio.sleep(0.3)
        await wait_until(lambda: len(query_rows(engine, SENTENCES, id=meeting_id)) == 1)
        await meetings.append("default", meeting_id, [NewEvent("2", MeetingEnded())])
        await wait_until(ended_without_pending(engine, meeting_id))
    [(first_emitted,)] = query_rows(engine, "select first_emitted from sentences where meeting_id = :id", id=meeting_id)
    assert appended.log_id is not None
    appended_at_s = (parse_stream_id(appended.log_id)[0] - parse_stream_id(began)[0]) / 1000
    # Ticks follow the chunk after 0.2, 0.5, 1, 1.5 s…; the migrations took 1.8 s from the chunk on.
    assert first_emitted - appended_at_s <= 1.6


async def test_a_meeting_that_timed_out_restarts_on_its_new_lane(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    late = chunk_event(2, "b", "Bob", "Here again.", 4000.0, 4001.0, 4001.0)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    # The next entry arrives after the timeout; the lane reads all entries at once.
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, [late, end_event(4010.0)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(ended_without_pending(engine, meeting_id))
    found = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    assert found == [("That was all.",), ("Here again.",)]
    assert query_rows(engine, "select generation, lane_id from meetings where id = :id", id=meeting_id) == [(2, other)]


async def test_the_log_of_a_lane_with_a_quiet_meeting_is_trimmed(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.lane.committer.ADVANCE_INTERVAL_S", 0.2)
    quiet = await open_lane_meeting(meetings, aengine)
    await append_events(
        meetings,
        quiet,
        [chunk_event(1, "a", "Ann", "I listen.", 0.0, 1.0, 1.0), chunk_event(2, "b", "Ann", "Go", 9, 10, 20)],
    )
    with running_lane(postgres_url, redis_url, "batch-1"):
        committed = "select 1 from meetings where id = :id and last_committed = 3"
        await wait_until(lambda: bool(query_rows(engine, committed, id=quiet)))
        # A repeat has no effects, so its commit stores nothing of the meeting.
        await append_events(meetings, quiet, [chunk_event(3, "b", "Ann", "Go", 9, 10, 20)])
        busy = await open_lane_meeting(meetings, aengine)
        # Each commit may trim the log of what the commits before it stored. So there is always one more.
        for k in count():
            await append_events(meetings, busy, [chunk_event(k, f"c{k}", "Bob", f"This is {k}.", k, k + 1, k + 1)])
            if k >= 300:
                if redis_sync.xlen(redis_keys.lane_log("batch-1")) < 100:
                    break
                await asyncio.sleep(0.1)
        await append_events(meetings, quiet, [chunk_event(4, "b", "Ann", "Go on.", 9, 21, 22), end_event(40)])
        await append_events(meetings, busy, [end_event(100_000)])
        await wait_until(ended_without_pending(engine, quiet, busy), 120)
    got = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=quiet)
    assert got == [("I listen.",), ("Go on.",)]


async def test_a_move_is_refused_unless_its_target_is_valid(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, redis_sync: redis.Redis
) -> None:
    await ensure_two_lanes(aengine)
    meeting_id = await open_lane_meeting(meetings, aengine)
    async with aengine.begin() as connection:
        assert await add_lane(connection, "batch") == "batch-3"
        await drain_lane(connection, "batch-3")
    with pytest.raises(NotFoundError, match="no lane batch-9"):
        await meetings.move("default", meeting_id, "batch-9")
    with pytest.raises(InvalidInputError, match="must be a batch lane"):
        await meetings.move("default", meeting_id, "live-1")
    with pytest.raises(InvalidInputError, match="drained"):
        await meetings.move("default", meeting_id, "batch-3")
    with pytest.raises(NotFoundError):
        await meetings.move("another", meeting_id, "batch-2")
    assert not await meetings.move("default", meeting_id, "batch-1")
    assert await meetings.move("default", meeting_id, "batch-2")
    assert not await meetings.move("default", meeting_id, "batch-2")
    await append_events(meetings, meeting_id, [end_event(1)])
    with pytest.raises(ConflictError, match="over"):
        await meetings.move("default", meeting_id, "batch-1")


async def test_a_new_lane_gets_the_first_free_number_and_the_last_lane_cannot_be_drained(aengine: AsyncEngine) -> None:
    async with aengine.begin() as connection:
        assert [await add_lane(connection, "live") for _ in range(3)] == ["live-1", "live-2", "live-3"]
        await drain_lane(connection, "live-2")
        await drain_lane(connection, "live-1")
        with pytest.raises(ConflictError, match="last live lane"):
            await drain_lane(connection, "live-3")
        with pytest.raises(NotFoundError):
            await drain_lane(connection, "live-7")
        assert await add_lane(connection, "live") == "live-1"


async def test_a_lane_never_writes_a_meeting_of_another_lane(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "Mine.", 0.0, 1.0, 1.0)])
    with (
        pytest.raises(FencedError, match="is on lane batch-2"),
        running_lane(postgres_url, redis_url, "batch-1") as lane,
    ):
        await wait_until(
            lambda: query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("live",)]
        )
        with engine.begin() as connection:
            connection.execute(text("update meetings set lane_id = 'batch-2' where id = :id"), {"id": meeting_id})
        await append_events(
            meetings, meeting_id, [chunk_event(2, "b", "Ann", "Not any more.", 2.0, 3.0, 30.0), end_event(60)]
        )
        await wait_until(lane.has_ended.is_set)


async def test_a_meeting_continues_after_redis_lost_its_log_during_a_migration(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    await append_events(meetings, meeting_id, [chunk_event(1, "a", "Ann", "One.", 0.0, 1.0, 1.0)])
    with running_lane(postgres_url, redis_url, lane):
        await wait_until(
            lambda: query_rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("live",)]
        )
    await meetings.move("default", meeting_id, other)
    redis_sync.flushdb()
    await append_events(meetings, meeting_id, [chunk_event(2, "b", "Ann", "Two.", 2.0, 3.0, 30.0), end_event(60)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(ended_without_pending(engine, meeting_id))
    found = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    assert found == [("One.",), ("Two.",)]
