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

from operators.errors import Fenced, Invalid, Refused, Unknown
from operators.model import Chunk, Clock, Ended
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage import keys
from storage.lag import lags
from storage.log import Log, LogReader, NewEvent, order
from storage.meetings import Meetings
from storage.placement import LaneProgress, add_lane, ensure_lane, retire_lane
from tests.harness.lanes import ending, feed, open_recorded, over_and_paid, rows, running, said, until

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
def meetings(aengine: AsyncEngine, redis_async: Any) -> Meetings:
    return Meetings(aengine, Log(redis_async))


async def two_lanes(aengine: AsyncEngine, kind: str = "batch") -> None:
    async with aengine.begin() as connection:
        for lane_id in (f"{kind}-1", f"{kind}-2"):
            await ensure_lane(connection, lane_id, kind)  # type: ignore[arg-type]


def talk(seed: int, entries: int) -> list[NewEvent]:
    """A recording of two who speak in turn: growing chunks, revisions, pauses."""
    chance = random.Random(seed)
    events: list[NewEvent] = []
    at = 0.0
    for chunk in range(entries // 3):
        speaker, start = "AB"[chunk % 2], at
        words = [f"word{chance.randrange(50)}" for _ in range(6)]
        for k in (2, 4, 6):
            at += chance.choice((0.1, 0.4, 1.3, 6.0))
            end = "." if k == 6 and chance.random() < 0.7 else ""
            events.append(said(len(events), f"c{chunk}", speaker, " ".join(words[:k]) + end, start, at, at))
    return [*events, ending(at + 3)]


async def undisturbed(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str, events: list[NewEvent]
) -> tuple[Any, Any]:
    meeting_id = await open_recorded(meetings, aengine)
    await feed(meetings, meeting_id, events)
    with running(postgres_url, redis_url, "batch-1"):
        await until(over_and_paid(engine, meeting_id), 120)
    return rows(engine, SENTENCES, id=meeting_id), rows(engine, CAPTIONS, id=meeting_id)


@pytest.mark.slow
async def test_a_meeting_moved_back_and_forth_fifty_times_has_the_same_rows(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    await two_lanes(aengine)
    events = talk(1, 300)
    expected = await undisturbed(meetings, aengine, engine, postgres_url, redis_url, events)
    meeting_id = await open_recorded(meetings, aengine)
    [(lane,)] = rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    with running(postgres_url, redis_url, "batch-1"), running(postgres_url, redis_url, "batch-2"):
        for k in range(50):
            await feed(meetings, meeting_id, events[k * 6 : (k + 1) * 6])
            lane = "batch-2" if lane == "batch-1" else "batch-1"
            assert await meetings.move("default", meeting_id, lane)
            if k % 5 == 0:
                # Now and then it gets the time to arrive.
                await until(partial(is_on, engine, meeting_id, lane))
        await feed(meetings, meeting_id, events[300:])
        await until(over_and_paid(engine, meeting_id), 120)
    assert (rows(engine, SENTENCES, id=meeting_id), rows(engine, CAPTIONS, id=meeting_id)) == expected
    # Every live event once, and captions in the order of their sentences' requests.
    assert seqs(engine, meeting_id)
    [(n, accepted, state)] = rows(
        engine, "select last_committed, last_accepted, state from meetings where id = :id", id=meeting_id
    )
    assert (n, accepted, state) == (len(events) + 1, n, None)
    assert rows(engine, "select 1 from dead_letters") == []


def is_on(engine: Engine, meeting_id: UUID, lane: str) -> bool:
    return rows(engine, "select lane_id from meetings where id = :id", id=meeting_id) == [(lane,)]


def seqs(engine: Engine, meeting_id: UUID) -> bool:
    found = [
        seq for (seq,) in rows(engine, "select seq from outbox where meeting_id = :id order by seq", id=meeting_id)
    ]
    return found == list(range(1, len(found) + 1))


@pytest.mark.parametrize("first", ["batch-1", "batch-2"])
async def test_it_arrives_whichever_lane_runs_first(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    first: str,
    redis_sync: redis.Redis,
) -> None:
    await two_lanes(aengine)
    events = talk(2, 60)
    expected = await undisturbed(meetings, aengine, engine, postgres_url, redis_url, events)
    meeting_id = await open_recorded(meetings, aengine)
    [(lane,)] = rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    await feed(meetings, meeting_id, events[:30])
    await meetings.move("default", meeting_id, other)
    await feed(meetings, meeting_id, events[30:])
    with ExitStack() as stack:
        stack.enter_context(running(postgres_url, redis_url, first))
        await asyncio.sleep(0.5)
        stack.enter_context(running(postgres_url, redis_url, "batch-1" if first == "batch-2" else "batch-2"))
        await until(over_and_paid(engine, meeting_id), 120)
    assert (rows(engine, SENTENCES, id=meeting_id), rows(engine, CAPTIONS, id=meeting_id)) == expected


async def test_lanes_that_start_again_in_the_middle_of_moves_lose_nothing(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await two_lanes(aengine)
    events = talk(3, 180)
    expected = await undisturbed(meetings, aengine, engine, postgres_url, redis_url, events)
    meeting_id = await open_recorded(meetings, aengine)
    [(lane,)] = rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    chance = random.Random(3)
    for k in range(12):
        await feed(meetings, meeting_id, events[k * 15 : (k + 1) * 15])
        lane = "batch-2" if lane == "batch-1" else "batch-1"
        await meetings.move("default", meeting_id, lane)
        with ExitStack() as stack:
            for lane_id in chance.sample(["batch-1", "batch-2"], chance.choice((1, 2))):
                stack.enter_context(running(postgres_url, redis_url, lane_id))
            await asyncio.sleep(chance.uniform(0.0, 0.6))
    await feed(meetings, meeting_id, events[180:])
    with running(postgres_url, redis_url, "batch-1"), running(postgres_url, redis_url, "batch-2"):
        await until(over_and_paid(engine, meeting_id), 120)
    assert (rows(engine, SENTENCES, id=meeting_id), rows(engine, CAPTIONS, id=meeting_id)) == expected
    assert seqs(engine, meeting_id)


async def test_a_meeting_leaves_only_when_its_calls_are_answered_so_that_captions_stay_in_order(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await two_lanes(aengine)
    let_go = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def slow(request: TranslationRequest) -> Translation:
        loops.append(asyncio.get_running_loop())
        while not let_go.is_set():
            await asyncio.sleep(0.01)
        return Translation(CaptionStatus.TRANSLATED, f"slow {request.text}", "slow 1")

    meeting_id = await open_recorded(meetings, aengine)
    [(lane,)] = rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    await feed(meetings, meeting_id, [said(1, "a", "A", "The first.", 0, 1, 1), said(2, "b", "B", "Well.", 9, 10, 30)])
    with running(postgres_url, redis_url, lane, slow), running(postgres_url, redis_url, other):
        await until(lambda: bool(loops))
        await meetings.move("default", meeting_id, other)
        await feed(meetings, meeting_id, [said(3, "c", "A", "The second.", 31, 32, 32), ending(99)])
        await asyncio.sleep(1)
        assert rows(engine, "select lane_id from meetings where id = :id", id=meeting_id) == [(lane,)]
        let_go.set()
        await until(over_and_paid(engine, meeting_id))
    captions = rows(
        engine,
        "select payload ->> 'text' from outbox where meeting_id = :id and kind = 'caption' order by seq",
        id=meeting_id,
    )
    assert [words for (words,) in captions] == ["slow The first.", "pt:WELL.", "pt:THE SECOND."]


async def test_a_lane_does_not_count_as_behind_for_a_meeting_that_another_keeps_from_it(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_async: Any,
    redis_sync: redis.Redis,
) -> None:
    await two_lanes(aengine)
    comes, stays = await open_recorded(meetings, aengine), await open_recorded(meetings, aengine)
    await meetings.move("default", comes, "batch-2")
    await feed(meetings, comes, talk(4, 30))
    await feed(meetings, stays, talk(5, 30))
    place = "select log_id, retain_after from lanes where id = 'batch-2'"
    with running(postgres_url, redis_url, "batch-2"):
        await until(over_and_paid(engine, stays))
        # Nothing runs that would let go of the other meeting: its entries are kept, and no lag.
        await until(lambda: rows(engine, place)[0][0] == LogReader(redis_sync, "batch-2").last_id())
        [(log_id, held)] = rows(engine, place)
        assert order(held) < order(log_id)
        assert await lags(redis_async, {"batch-2": LaneProgress(log_id)}) == {"batch-2": 0.0}
    # Started again it still has them.
    with running(postgres_url, redis_url, "batch-1"), running(postgres_url, redis_url, "batch-2"):
        await until(over_and_paid(engine, comes))
        await until(lambda: rows(engine, place)[0][1] is None)
    expected = await undisturbed(meetings, aengine, engine, postgres_url, redis_url, talk(4, 30))
    assert rows(engine, SENTENCES, id=comes) == expected[0]


async def test_a_live_meeting_keeps_its_clock(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    """A word without a mark is put out by the quiet after it, and to move puts nothing off."""
    await two_lanes(aengine, "live")
    meeting_id = await open_recorded(meetings, aengine, clock=Clock.LIVE)
    [(lane, began)] = rows(engine, "select lane_id, log_id from meetings where id = :id", id=meeting_id)
    with (
        running(postgres_url, redis_url, "live-1", kind="live"),
        running(postgres_url, redis_url, "live-2", kind="live"),
    ):
        chunk = Chunk(chunk_id="a", speaker="Ann", text="Let us see.", start=0, end=1)
        [heard] = await meetings.append("default", meeting_id, [NewEvent("1", chunk)])
        for _ in range(6):
            lane = "live-2" if lane == "live-1" else "live-1"
            await meetings.move("default", meeting_id, lane)
            await asyncio.sleep(0.3)
        await until(lambda: len(rows(engine, SENTENCES, id=meeting_id)) == 1)
        await meetings.append("default", meeting_id, [NewEvent("2", Ended())])
        await until(over_and_paid(engine, meeting_id))
    [(first_emitted,)] = rows(engine, "select first_emitted from sentences where meeting_id = :id", id=meeting_id)
    assert heard.log_id is not None
    said_at = (order(heard.log_id)[0] - order(began)[0]) / 1000
    # Ticks at 0.2, 0.5, 1, 1.5 s… after the chunk; the moves began at once and went on for 1.8 s.
    assert first_emitted - said_at <= 1.6


async def test_a_meeting_that_timed_out_begins_again_where_it_was_moved_to(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    postgres_url: str,
    redis_url: str,
    redis_sync: redis.Redis,
) -> None:
    await two_lanes(aengine)
    meeting_id = await open_recorded(meetings, aengine)
    [(lane,)] = rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    late = said(2, "b", "Bob", "Here again.", 4000.0, 4001.0, 4001.0)
    await feed(meetings, meeting_id, [said(1, "a", "Ann", "That was all.", 0.0, 1.0, 1.0)])
    # To this door half an hour has passed with the next entry; the lane reads all of it in one go.
    await meetings.move("default", meeting_id, other)
    await feed(meetings, meeting_id, [late, ending(4010.0)])
    with running(postgres_url, redis_url, lane), running(postgres_url, redis_url, other):
        await until(over_and_paid(engine, meeting_id))
    found = rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    assert found == [("That was all.",), ("Here again.",)]
    assert rows(engine, "select generation, lane_id from meetings where id = :id", id=meeting_id) == [(2, other)]


async def test_the_log_of_a_lane_is_trimmed_though_a_meeting_of_it_is_quiet(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.lane.committer.ADVANCE_INTERVAL_S", 0.2)
    quiet = await open_recorded(meetings, aengine)
    await feed(meetings, quiet, [said(1, "a", "Ann", "I listen.", 0.0, 1.0, 1.0), said(2, "b", "Ann", "Go", 9, 10, 20)])
    with running(postgres_url, redis_url, "batch-1"):
        loud = await open_recorded(meetings, aengine)
        for k in range(300):
            await feed(meetings, loud, [said(k, f"c{k}", "Bob", f"This is {k}.", k, k + 1, k + 1)])
        await until(lambda: redis_sync.xlen(keys.lane("batch-1")) < 100)
        await feed(meetings, quiet, [said(3, "b", "Ann", "Go on.", 9, 21, 22), ending(40)])
        await feed(meetings, loud, [ending(400)])
        await until(over_and_paid(engine, quiet, loud), 120)
    got = rows(engine, "select text from sentences where meeting_id = :id order by start", id=quiet)
    assert got == [("I listen.",), ("Go on.",)]


async def test_where_a_meeting_may_go(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, redis_sync: redis.Redis
) -> None:
    await two_lanes(aengine)
    meeting_id = await open_recorded(meetings, aengine)
    async with aengine.begin() as connection:
        assert await add_lane(connection, "batch") == "batch-3"
        await retire_lane(connection, "batch-3")
    with pytest.raises(Unknown, match="no lane batch-9"):
        await meetings.move("default", meeting_id, "batch-9")
    with pytest.raises(Invalid, match="must be a batch lane"):
        await meetings.move("default", meeting_id, "live-1")
    with pytest.raises(Invalid, match="drained"):
        await meetings.move("default", meeting_id, "batch-3")
    with pytest.raises(Unknown):
        await meetings.move("another", meeting_id, "batch-2")
    assert not await meetings.move("default", meeting_id, "batch-1")
    assert await meetings.move("default", meeting_id, "batch-2")
    assert not await meetings.move("default", meeting_id, "batch-2")
    await feed(meetings, meeting_id, [ending(1)])
    with pytest.raises(Refused, match="over"):
        await meetings.move("default", meeting_id, "batch-1")


async def test_lanes_are_added_by_the_first_free_number_and_the_last_stays(aengine: AsyncEngine) -> None:
    async with aengine.begin() as connection:
        assert [await add_lane(connection, "live") for _ in range(3)] == ["live-1", "live-2", "live-3"]
        await retire_lane(connection, "live-2")
        await retire_lane(connection, "live-1")
        with pytest.raises(Refused, match="last live lane"):
            await retire_lane(connection, "live-3")
        with pytest.raises(Unknown):
            await retire_lane(connection, "live-7")
        assert await add_lane(connection, "live") == "live-1"


async def test_a_lane_never_writes_a_meeting_of_another(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str, redis_sync: redis.Redis
) -> None:
    await two_lanes(aengine)
    meeting_id = await open_recorded(meetings, aengine)
    await feed(meetings, meeting_id, [said(1, "a", "Ann", "Mine.", 0.0, 1.0, 1.0)])
    with pytest.raises(Fenced, match="is on lane batch-2"), running(postgres_url, redis_url, "batch-1") as lane:
        await until(lambda: rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("live",)])
        with engine.begin() as connection:
            connection.execute(text("update meetings set lane_id = 'batch-2' where id = :id"), {"id": meeting_id})
        await feed(meetings, meeting_id, [said(2, "b", "Ann", "Not any more.", 2.0, 3.0, 30.0), ending(60)])
        await until(lane.over.is_set)


async def test_a_log_that_redis_lost_in_the_middle_of_a_move_goes_on(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str, redis_sync: redis.Redis
) -> None:
    await two_lanes(aengine)
    meeting_id = await open_recorded(meetings, aengine)
    [(lane,)] = rows(engine, "select lane_id from meetings where id = :id", id=meeting_id)
    other = "batch-2" if lane == "batch-1" else "batch-1"
    await feed(meetings, meeting_id, [said(1, "a", "Ann", "One.", 0.0, 1.0, 1.0)])
    with running(postgres_url, redis_url, lane):
        await until(lambda: rows(engine, "select status from meetings where id = :id", id=meeting_id) == [("live",)])
    await meetings.move("default", meeting_id, other)
    redis_sync.flushdb()
    await feed(meetings, meeting_id, [said(2, "b", "Ann", "Two.", 2.0, 3.0, 30.0), ending(60)])
    with running(postgres_url, redis_url, lane), running(postgres_url, redis_url, other):
        await until(over_and_paid(engine, meeting_id))
    found = rows(engine, "select text from sentences where meeting_id = :id order by start", id=meeting_id)
    assert found == [("One.",), ("Two.",)]
