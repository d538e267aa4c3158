"""Many short meetings through one lane: they leave their rows and nothing else."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

import flows.async_calls.operator
import flows.lane.stateful_step
from flows.lane.committer import Committer
from flows.lane.log_reader import LaneReader
from flows.lane.options import LaneOptions
from operators.model import Clock
from storage import keys
from storage.log import Log, NewEvent
from storage.meetings import Meetings
from storage.placement import ensure_lane
from tests.chaos.keeper import Keeper
from tests.chaos.recordings import CONFIG, number
from tests.chaos.report import FULL, Row
from tests.harness.lanes import BASE, ending, rows, running, said, until

Report = Callable[[Row], None]

LANE = "batch-1"
MEETINGS = 100_000 if FULL else 1_500
AT_ONCE = 24
"""Meetings that are open at once, about."""
SILENT = 5
"""One of so many falls silent for half an hour, and begins again."""
AHEAD = 20_000
"""Entries that the lane may be behind: more are held back, as the door's client is told to do by then."""
GROWTH = 30.0
"""MB that the lane's process may grow in the second half."""
SAMPLE = 0.2

pytestmark = [pytest.mark.usefixtures("clean_database"), pytest.mark.timeout(7200 if FULL else 600)]


def spoken(k: int) -> list[NewEvent]:
    """A short meeting: three sentences, each a chunk, and the end."""
    gap = 1_900.0 if k % SILENT == 0 else 0.0
    chunks = [
        said(j, f"c{j}", "AB"[j % 2], f"Number {j} is what we say.", at, at + 1.0, at + 1.0)
        for j, at in enumerate((0.0, 2.0, 4.0 + gap))
    ]
    return [*chunks, ending(6.0 + gap)]


class Crowd:
    """Holds meetings, many at once, through the real door.

    Attributes:
        over: how many are over, as far as the door is concerned.
        seconds: how long that took.
    """

    def __init__(self, engine: AsyncEngine, log: Log, connection: redis.Redis) -> None:
        self._engine, self._log, self._redis = engine, log, connection
        self.over = 0
        self.seconds = 0.0

    async def hold(self, count: int) -> None:
        """Hold so many."""
        async with self._engine.begin() as connection:
            await ensure_lane(connection, LANE, "batch")
        meetings, turns, began = Meetings(self._engine, self._log), iter(range(count)), time.monotonic()
        async with asyncio.TaskGroup() as group:
            ledger = group.create_task(meetings.run_ledger())
            await asyncio.gather(*(self._hold(meetings, turns) for _ in range(AT_ONCE)))
            ledger.cancel()
        await meetings.flush()
        self.seconds = time.monotonic() - began

    async def _hold(self, meetings: Meetings, turns: Iterator[int]) -> None:
        for k in turns:
            while k % 100 == 0 and self._redis.xlen(keys.lane(LANE)) > AHEAD:
                await asyncio.sleep(0.2)
            record, _ = await meetings.open(
                "default", external_id=None, title=str(k), clock=Clock.RECORDED, config=CONFIG, at=BASE
            )
            events = spoken(k)
            for batch in (events[:1], events[1:2], events[2:]):
                answers = await meetings.append("default", record.id, batch)
                assert {answer.outcome for answer in answers} == {"accepted"}
            self.over += 1


class Scales:
    """Weighs a lane's process while meetings come and go.

    Attributes:
        weights: MB, each with how many meetings were over by then.
    """

    def __init__(self, keeper: Keeper, crowd: Crowd) -> None:
        self._keeper, self._crowd = keeper, crowd
        self.weights: list[tuple[int, float]] = []

    @contextmanager
    def weighing(self) -> Iterator[None]:
        """Weigh for as long as the block."""
        stopping = threading.Event()

        def weigh() -> None:
            while not stopping.wait(SAMPLE):
                with suppress(psutil.NoSuchProcess):
                    rss = psutil.Process(self._keeper.process.pid).memory_info().rss
                    self.weights.append((self._crowd.over, rss / 1e6))

        thread = threading.Thread(target=weigh, name="scales", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def growth(self) -> float:
        """MB by which the heaviest moment of the second half is heavier than that of the first."""
        first = [weight for over, weight in self.weights if over < MEETINGS / 2]
        second = [weight for over, weight in self.weights if over >= MEETINGS / 2]
        return max(second) - max(first)


async def test_many_short_meetings_leave_nothing_but_their_rows(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    report: Report,
) -> None:
    async with aengine.begin() as connection:
        await ensure_lane(connection, LANE, "batch")
    crowd = Crowd(aengine, Log(redis_async), redis_sync)
    with Keeper(LaneOptions(LANE, "batch", postgres_url, redis_url), tmp_path / "lane.log") as keeper:
        scales, began = Scales(keeper, crowd), time.monotonic()
        with scales.weighing():
            await crowd.hold(MEETINGS)
            ended = time.monotonic()
            await until(lambda: all_over(engine), 300 + MEETINGS / 50)
        behind = time.monotonic() - ended
        await until(lambda: redis_sync.xlen(keys.lane(LANE)) < 50, 60)
        deaths = list(keeper.deaths)
    accepted, stored, lost, doubled, disordered, owed = counted(engine)
    detail = {
        "door meetings/s": round(MEETINGS / crowd.seconds),
        "lane meetings/s": round(MEETINGS / (ended + behind - began)),
        "peak MB": round(max(weight for _, weight in scales.weights)),
        "growth MB": round(scales.growth(), 1),
    }
    report(Row(f"{MEETINGS} short meetings", 0, accepted, stored, lost, doubled, disordered, owed, None, detail))
    assert accepted == stored == MEETINGS * 4
    assert lost == doubled == disordered == owed == 0
    assert deaths == []
    assert scales.growth() < GROWTH
    silent = len(range(0, MEETINGS, SILENT))
    generations = rows(engine, "select generation, count(*) from meetings group by 1 order by 1")
    assert generations == [(1, MEETINGS - silent), (2, silent)]
    assert rows(engine, "select sum((counters ->> 'timed_out')::int) from meetings") == [(silent,)]
    assert rows(engine, "select count(*) from meetings where state is not null") == [(0,)]
    assert rows(engine, "select count(*) from dead_letters") == [(0,)]
    # Besides the lane's log only the list of what measures itself, from which each goes that is not renewed.
    assert kept_for_good(redis_sync) <= {keys.lane(LANE), keys.measured()}


async def test_a_lane_forgets_meetings_that_are_over(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    for kind in (LaneReader, Committer):
        monkeypatch.setattr(f"flows.lane.runner.{kind.__name__}", _noted(kind, made))
    async with aengine.begin() as connection:
        await ensure_lane(connection, LANE, "batch")
    with running(postgres_url, redis_url, LANE):
        await Crowd(aengine, Log(redis_async), redis_sync).hold(200)
        # Neither does it remember what it can't read, or whose meeting nobody knows.
        for k in range(50):
            meeting_id = f"0192f0c0-0000-7000-8000-{k:012d}"
            redis_sync.xadd(keys.lane(LANE), {"team_id": "default", "meeting_id": meeting_id, "kind": "noise"})
        await until(lambda: all_over(engine), 120)
        await until(lambda: len(rows(engine, "select 1 from dead_letters")) == 50, 60)
        await until(lambda: redis_sync.xlen(keys.lane(LANE)) < 50, 60)
        reader, committer = made
        # It forgets a moment after it has committed.
        await until(lambda: not any(remembered(reader, committer)), 60)
        # What Bytewax keeps of a key is its logic.
        await until(lambda: not logics(), 60)


def remembered(reader: LaneReader, committer: Committer) -> list[Sized]:
    """What a lane keeps of meetings."""
    read = [
        reader._meetings,
        reader._ticks_due._due,
        reader._arriving,
        reader._arrived_meetings,
        reader._last_delivered,
    ]
    return [*read, committer._calls_in_flight, committer._leaving, committer._positions]


def logics() -> list[object]:
    """The logic of every key that a dataflow of this process keeps."""
    gc.collect()
    return [
        one
        for one in gc.get_objects()
        if type(one) in (flows.lane.stateful_step._Logic, flows.async_calls.operator._Logic)
    ]


def _noted(kind: type[Any], made: list[Any]) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        made.append(kind(*arguments))
        return made[-1]

    return make


def all_over(engine: Engine) -> bool:
    """Whether every meeting is over and nothing is owed."""
    left = "select 1 from meetings where status <> 'ended' union all select 1 from captions where status = 'pending' limit 1"
    return rows(engine, left) == []


def counted(engine: Engine) -> tuple[int, int, int, int, int, int]:
    """Events of clients accepted and stored, those lost, and captions doubled, out of order and owed."""
    accepted, stored, lost = rows(
        engine,
        "select sum(last_accepted - generation), sum(last_committed - generation),"
        " coalesce(sum((counters ->> 'lost')::int), 0) from meetings",
    )[0]
    doubled = disordered = 0
    captions = rows(
        engine,
        "select m.id, array_agg(c.text order by o.seq), count(distinct o.payload ->> 'sentence_id')"
        " from meetings m join outbox o on o.meeting_id = m.id and o.kind = 'caption'"
        " join captions c on c.meeting_id = m.id and c.sentence_id = o.payload ->> 'sentence_id' group by m.id",
    )
    for _, texts, distinct in captions:
        doubled += len(texts) - distinct
        disordered += [number(text) for text in texts] != [0, 1, 2]
    sentences = rows(engine, "select count(*) from sentences where not retracted")[0][0]
    assert len(captions) == len(rows(engine, "select 1 from meetings"))
    assert sentences == 3 * len(captions)
    owed = rows(engine, "select count(*) from captions where status = 'pending'")[0][0]
    return int(accepted), int(stored), int(lost), doubled, disordered, int(owed)


def kept_for_good(connection: redis.Redis) -> set[str]:
    """The keys of Redis that never expire."""
    kept: set[str] = set()
    cursor = 0
    while True:
        cursor, found = connection.scan(cursor, count=1_000)
        pipe = connection.pipeline(transaction=False)
        for key in found:
            pipe.ttl(key)
        kept |= {key for key, ttl in zip(found, pipe.execute(), strict=True) if ttl < 0}
        if cursor == 0:
            return kept
