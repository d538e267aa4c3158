"""Meetings that go on in another lane: the same rows as if they had stayed, whatever happens on the way."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from functools import partial
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
from storage.redis_log.event_log import LogReader, LogWriter, NewEvent, parse_stream_id
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
    """A recording of two who speak in turn: growing chunks, revisions, pauses."""
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
                # Now and then it gets the time to arrive.
                await wait_until(partial(is_on_lane, engine, meeting_id, lane))
        await append_events(meetings, meeting_id, events[300:])
        await wait_until(ended_without_pending(engine, meeting_id), 120)
    assert (query_rows(engine, SENTENCES, id=meeting_id), query_rows(engine, CAPTIONS, id=meeting_id)) == expected
    # Every live event once, and captions in the order of their sentences' requests.
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
async def test_it_arrives_whichever_lane_runs_first(
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
        await asyncio.sleep(0.5)
        stack.enter_context(running_lane(postgres_url, redis_url, "batch-1" if first == "batch-2" else "batch-2"))
        await wait_until(ended_without_pending(engine, meeting_id), 120)
    assert (query_rows(engine, SENTENCES, id=meeting_id), query_rows(engine, CAPTIONS, id=meeting_id)) == expected


async def test_lanes_that_start_again_in_the_middle_of_moves_lose_nothing(
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


async def test_a_meeting_leaves_only_when_its_calls_are_answered_so_that_captions_stay_in_order(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    let_go = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def slow(request: TranslationRequest) -> Translation:
        loops.append(asyncio.get_running_loop())
        while not let_go.is_set():
            await asyncio.sleep(0.01)
        return Translation(CaptionStatus.TRANSLATED, f"slow {request.text}", "slow 1")

    meeting_id = await open_lane_meeting(meetings, aengine)
    [(lane,)] = query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    await append_events(
        meetings,
        meeting_id,
        [chunk_event(1, "a", "A", "The first.", 0, 1, 1), chunk_event(2, "b", "B", "Well.", 9, 10, 30)],
    )
    with running_lane(postgres_url, redis_url, lane, slow), running_lane(postgres_url, redis_url, other):
        await wait_until(lambda: bool(loops))
        await meetings.move("default", meeting_id, other)
        await append_events(meetings, meeting_id, [chunk_event(3, "c", "A", "The second.", 31, 32, 32), end_event(99)])
        await asyncio.sleep(1)
        assert query_rows(engine, "select lane_id from meetings where id = :id", id=meeting_id) == [(lane,)]
        let_go.set()
        await wait_until(ended_without_pending(engine, meeting_id))
    captions = query_rows(
        engine,
        "select payload ->> 'text' from outbox where meeting_id = :id and kind = 'caption' order by seq",
        id=meeting_id,
    )
    assert [words for (words,) in captions] == ["slow The first.", "pt:WELL.", "pt:THE SECOND."]


async def test_a_lane_does_not_count_as_behind_for_a_meeting_that_another_keeps_from_it(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_async: Any,
    redis_sync: redis.Redis,
) -> None:
    await ensure_two_lanes(aengine)
    comes, stays = await open_lane_meeting(meetings, aengine), await open_lane_meeting(meetings, aengine)
    await meetings.move("default", comes, "batch-2")
    await append_events(meetings, comes, random_events(4, 30))
    await append_events(meetings, stays, random_events(5, 30))
    place = "select log_id, retain_after from lanes where id = 'batch-2'"
    with running_lane(postgres_url, redis_url, "batch-2"):
        await wait_until(ended_without_pending(engine, stays))
        # Nothing runs that would let go of the other meeting: its entries are kept, and no lag.
        await wait_until(lambda: query_rows(engine, place)[0][0] == LogReader(redis_sync, "batch-2").last_id())
        [(log_id, held)] = query_rows(engine, place)
        assert parse_stream_id(held) < parse_stream_id(log_id)
        assert await read_lane_lags(redis_async, {"batch-2": LaneProgress(log_id)}) == {"batch-2": 0.0}
    # Started again it still has them.
    with running_lane(postgres_url, redis_url, "batch-1"), running_lane(postgres_url, redis_url, "batch-2"):
        await wait_until(ended_without_pending(engine, comes))
        await wait_until(lambda: query_rows(engine, place)[0][1] is None)
    expected = await run_baseline(meetings, aengine, engine, postgres_url, redis_url, random_events(4, 30))
    assert query_rows(engine, SENTENCES, id=comes) == expected[0]


async def test_a_live_meeting_keeps_its_clock(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    """A word without a mark is put out by the quiet after it, and to move puts nothing off."""
    await ensure_two_lanes(aengine, "live")
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    [(lane, began)] = query_rows(engine, "select lane_id, log_id from meetings where id = :id", id=meeting_id)
    with (
        running_lane(postgres_url, redis_url, "live-1", kind="live"),
        running_lane(postgres_url, redis_url, "live-2", kind="live"),
    ):
        chunk = Chunk(chunk_id="a", speaker="Ann", text="Let us see.", start=0, end=1)
        [heard] = await meetings.append("default", meeting_id, [NewEvent("1", chunk)])
        for _ in range(6):
            lane = "live-2" if lane == "live-1" else "live-1"
            await meetings.move("default", meeting_id, lane)
            await asyncio.sleep(0.3)
        await wait_until(lambda: len(query_rows(engine, SENTENCES, id=meeting_id)) == 1)
        await meetings.append("default", meeting_id, [NewEvent("2", MeetingEnded())])
        await wait_until(ended_without_pending(engine, meeting_id))
    [(first_emitted,)] = query_rows(engine, "select first_emitted from sentences where meeting_id = :id", id=meeting_id)
    assert heard.log_id is not None
    said_at = (parse_stream_id(heard.log_id)[0] - parse_stream_id(began)[0]) / 1000
    # Ticks at 0.2, 0.5, 1, 1.5 s… after the chunk; the moves began at once and went on for 1.8 s.
    assert first_emitted - said_at <= 1.6


async def test_a_meeting_that_timed_out_begins_again_where_it_was_moved_to(
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
    # To this door half an hour has passed with the next entry; the lane reads all of it in one go.
    await meetings.move("default", meeting_id, other)
    await append_events(meetings, meeting_id, [late, end_event(4010.0)])
    with running_lane(postgres_url, redis_url, lane), running_lane(postgres_url, redis_url, other):
        await wait_until(ended_without_pending(engine, meeting_id))
    found = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    assert found == [("That was all.",), ("Here again.",)]
    assert query_rows(engine, "select generation, lane_id from meetings where id = :id", id=meeting_id) == [(2, other)]


async def test_the_log_of_a_lane_is_trimmed_though_a_meeting_of_it_is_quiet(
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
        loud = await open_lane_meeting(meetings, aengine)
        for k in range(300):
            await append_events(meetings, loud, [chunk_event(k, f"c{k}", "Bob", f"This is {k}.", k, k + 1, k + 1)])
        await wait_until(lambda: redis_sync.xlen(redis_keys.lane_log("batch-1")) < 100)
        await append_events(meetings, quiet, [chunk_event(3, "b", "Ann", "Go on.", 9, 21, 22), end_event(40)])
        await append_events(meetings, loud, [end_event(400)])
        await wait_until(ended_without_pending(engine, quiet, loud), 120)
    got = query_rows(engine, "select text from sentences where meeting_id = :id order by start", id=quiet)
    assert got == [("I listen.",), ("Go on.",)]


async def test_where_a_meeting_may_go(
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


async def test_lanes_are_added_by_the_first_free_number_and_the_last_stays(aengine: AsyncEngine) -> None:
    async with aengine.begin() as connection:
        assert [await add_lane(connection, "live") for _ in range(3)] == ["live-1", "live-2", "live-3"]
        await drain_lane(connection, "live-2")
        await drain_lane(connection, "live-1")
        with pytest.raises(ConflictError, match="last live lane"):
            await drain_lane(connection, "live-3")
        with pytest.raises(NotFoundError):
            await drain_lane(connection, "live-7")
        assert await add_lane(connection, "live") == "live-1"


async def test_a_lane_never_writes_a_meeting_of_another(
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


async def test_a_log_that_redis_lost_in_the_middle_of_a_move_goes_on(
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
