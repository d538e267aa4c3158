"""Many short meetings through one lane: they leave only their rows, with no memory or keys."""

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
from operators.meeting_config import Clock
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.systems.lane_process import LaneProcess
from tests.chaos.workload.recorded_meetings import CONFIG, number_in
from tests.harness.lane.threaded_lane import (
    RECORDING_START_MS,
    chunk_event,
    end_event,
    query_rows,
    running_lane,
    wait_until,
)

Report = Callable[[ScenarioRow], None]

LANE_ID = "batch-1"
MEETING_COUNT = 100_000 if FULL else 1_500
MAX_OPEN_MEETINGS = 24
"""Approximate limit of meetings that are open at the same time."""
SILENT_EVERY = 5
"""One of this many meetings is silent for half an hour and then starts again."""
MAX_BACKLOG_ENTRIES = 20_000
"""Limit of the lane's backlog. At the limit the test pauses, as a client does on backpressure from the ingest API."""
MAX_GROWTH_MB = 30.0
"""MB by which the lane's process may grow in the second half."""
MEMORY_POLL_S = 0.2

pytestmark = [pytest.mark.usefixtures("clean_database"), pytest.mark.timeout(7200 if FULL else 600)]


def short_meeting(k: int) -> list[NewEvent]:
    """Return the events of a short meeting: three sentences, one chunk each, and the end."""
    gap = 1_900.0 if k % SILENT_EVERY == 0 else 0.0
    chunks = [
        chunk_event(j, f"c{j}", "AB"[j % 2], f"Number {j} is what we say.", at, at + 1.0, at + 1.0)
        for j, at in enumerate((0.0, 2.0, 4.0 + gap))
    ]
    return [*chunks, end_event(6.0 + gap)]


class MeetingRunner:
    """Sends many concurrent meetings through the real ingest service.

    Attributes:
        ended_count: the number of meetings whose end was accepted.
        seconds: the duration of `run`.
    """

    def __init__(self, engine: AsyncEngine, log: LogWriter, connection: redis.Redis) -> None:
        self._engine, self._log, self._redis = engine, log, connection
        self.ended_count = 0
        self.seconds = 0.0

    async def run(self, count: int) -> None:
        """Send `count` meetings."""
        async with self._engine.begin() as connection:
            await ensure_lane(connection, LANE_ID, "batch")
        meetings, numbers, started_at = MeetingService(self._engine, self._log), iter(range(count)), time.monotonic()
        async with asyncio.TaskGroup() as group:
            ledger = group.create_task(meetings.run_ledger())
            await asyncio.gather(*(self._run_meetings(meetings, numbers) for _ in range(MAX_OPEN_MEETINGS)))
            ledger.cancel()
        await meetings.flush_ledger()
        self.seconds = time.monotonic() - started_at

    async def _run_meetings(self, meetings: MeetingService, numbers: Iterator[int]) -> None:
        for k in numbers:
            while k % 100 == 0 and self._redis.xlen(redis_keys.lane_log(LANE_ID)) > MAX_BACKLOG_ENTRIES:
                await asyncio.sleep(0.2)
            record, _ = await meetings.open(
                "default", external_id=None, title=str(k), clock=Clock.RECORDED, config=CONFIG, at_ms=RECORDING_START_MS
            )
            events = short_meeting(k)
            for batch in (events[:1], events[1:2], events[2:]):
                answers = await meetings.append("default", record.id, batch)
                assert {answer.outcome for answer in answers} == {"accepted"}
            self.ended_count += 1


class MemorySampler:
    """Samples the memory of a lane's process while meetings start and end.

    Attributes:
        samples: pairs of the number of ended meetings and the memory (MB).
    """

    def __init__(self, lane_process: LaneProcess, runner: MeetingRunner) -> None:
        self._lane_process, self._runner = lane_process, runner
        self.samples: list[tuple[int, float]] = []

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample during the block."""
        stopping = threading.Event()

        def sample() -> None:
            while not stopping.wait(MEMORY_POLL_S):
                with suppress(psutil.NoSuchProcess):
                    rss = psutil.Process(self._lane_process.process.pid).memory_info().rss
                    self.samples.append((self._runner.ended_count, rss / 1e6))

        thread = threading.Thread(target=sample, name="memory-sampler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def growth_mb(self) -> float:
        """Return the MB by which the peak of the second half exceeds the peak of the first."""
        first = [mb for ended_count, mb in self.samples if ended_count < MEETING_COUNT / 2]
        second = [mb for ended_count, mb in self.samples if ended_count >= MEETING_COUNT / 2]
        return max(second) - max(first)


async def test_many_short_meetings_leave_only_their_rows(
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
        await ensure_lane(connection, LANE_ID, "batch")
    runner = MeetingRunner(aengine, LogWriter(redis_async), redis_sync)
    with LaneProcess(LaneOptions(LANE_ID, "batch", postgres_url, redis_url), tmp_path / "lane.log") as lane_process:
        sampler, started_at = MemorySampler(lane_process, runner), time.monotonic()
        with sampler.sampling():
            await runner.run(MEETING_COUNT)
            ended_at = time.monotonic()
            await wait_until(lambda: all_ended(engine), 300 + MEETING_COUNT / 50)
        catch_up_s = time.monotonic() - ended_at
        await wait_until(lambda: redis_sync.xlen(redis_keys.lane_log(LANE_ID)) < 50, 60)
        deaths = list(lane_process.exit_statuses)
    accepted, stored, lost, duplicated, out_of_order, pending = count_stored(engine)
    detail = {
        "ingest meetings/s": round(MEETING_COUNT / runner.seconds),
        "lane meetings/s": round(MEETING_COUNT / (ended_at + catch_up_s - started_at)),
        "peak MB": round(max(mb for _, mb in sampler.samples)),
        "growth MB": round(sampler.growth_mb(), 1),
    }
    report(
        ScenarioRow(
            f"{MEETING_COUNT} short meetings",
            0,
            accepted,
            stored,
            lost,
            duplicated,
            out_of_order,
            pending,
            None,
            detail,
        )
    )
    assert accepted == stored == MEETING_COUNT * 4
    assert lost == duplicated == out_of_order == pending == 0
    assert deaths == []
    assert sampler.growth_mb() < MAX_GROWTH_MB
    silent = len(range(0, MEETING_COUNT, SILENT_EVERY))
    generations = query_rows(engine, "select generation, count(*) from meetings group by 1 order by 1")
    assert generations == [(1, MEETING_COUNT - silent), (2, silent)]
    assert query_rows(engine, "select sum((counters ->> 'timed_out')::int) from meetings") == [(silent,)]
    assert query_rows(engine, "select count(*) from meetings where state is not null") == [(0,)]
    assert query_rows(engine, "select count(*) from dead_letters") == [(0,)]
    # Besides the lane's log, only the set of measured processes remains. Its members expire unless renewed.
    assert keys_without_ttl(redis_sync) <= {redis_keys.lane_log(LANE_ID), redis_keys.measured_processes()}


async def test_a_lane_forgets_ended_meetings(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instances: list[Any] = []
    for kind in (LaneReader, Committer):
        monkeypatch.setattr(f"flows.lane.runner.{kind.__name__}", _record_instances(kind, instances))
    async with aengine.begin() as connection:
        await ensure_lane(connection, LANE_ID, "batch")
    with running_lane(postgres_url, redis_url, LANE_ID):
        await MeetingRunner(aengine, LogWriter(redis_async), redis_sync).run(200)
        # The lane must also forget unreadable entries, and entries of unknown meetings.
        for k in range(50):
            meeting_id = f"0192f0c0-0000-7000-8000-{k:012d}"
            redis_sync.xadd(
                redis_keys.lane_log(LANE_ID), {"team_id": "default", "meeting_id": meeting_id, "kind": "noise"}
            )
        await wait_until(lambda: all_ended(engine), 120)
        await wait_until(lambda: len(query_rows(engine, "select 1 from dead_letters")) == 50, 60)
        await wait_until(lambda: redis_sync.xlen(redis_keys.lane_log(LANE_ID)) < 50, 60)
        reader, committer = instances
        # The lane forgets a meeting a moment after its last commit.
        await wait_until(lambda: not any(lane_memory(reader, committer)), 60)
        # Bytewax keeps one logic object for each key.
        await wait_until(lambda: not live_logics(), 60)


def lane_memory(reader: LaneReader, committer: Committer) -> list[Sized]:
    """Return the collections in which a lane keeps state of meetings."""
    reader_memory = [
        reader._meetings,
        reader._ticks_due._due,
        reader._arriving,
        reader._arrived_meetings,
        reader._last_delivered,
    ]
    return [*reader_memory, committer._calls_in_flight, committer._leaving, committer._positions]


def live_logics() -> list[object]:
    """Return the logic objects of all keys that dataflows of this process keep."""
    gc.collect()
    return [
        instance
        for instance in gc.get_objects()
        if type(instance) in (flows.lane.stateful_step._StepLogic, flows.async_calls.operator._CallLogic)
    ]


def _record_instances(kind: type[Any], instances: list[Any]) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        instances.append(kind(*arguments))
        return instances[-1]

    return make


def all_ended(engine: Engine) -> bool:
    """Whether every meeting has ended and no caption is pending."""
    unfinished = "select 1 from meetings where status <> 'ended' union all select 1 from captions where status = 'pending' limit 1"
    return query_rows(engine, unfinished) == []


def count_stored(engine: Engine) -> tuple[int, int, int, int, int, int]:
    """Count client events (accepted, stored, lost) and captions (duplicated, out of order, pending)."""
    accepted, stored, lost = query_rows(
        engine,
        "select sum(last_accepted - generation), sum(last_committed - generation),"
        " coalesce(sum((counters ->> 'lost')::int), 0) from meetings",
    )[0]
    duplicated = out_of_order = 0
    captions = query_rows(
        engine,
        "select m.id, array_agg(c.text order by o.seq), count(distinct o.payload ->> 'sentence_id')"
        " from meetings m join outbox o on o.meeting_id = m.id and o.kind = 'caption'"
        " join captions c on c.meeting_id = m.id and c.sentence_id = o.payload ->> 'sentence_id' group by m.id",
    )
    for _, texts, distinct in captions:
        duplicated += len(texts) - distinct
        out_of_order += [number_in(text) for text in texts] != [0, 1, 2]
    sentences = query_rows(engine, "select count(*) from sentences where not retracted")[0][0]
    assert len(captions) == len(query_rows(engine, "select 1 from meetings"))
    assert sentences == 3 * len(captions)
    pending = query_rows(engine, "select count(*) from captions where status = 'pending'")[0][0]
    return int(accepted), int(stored), int(lost), duplicated, out_of_order, int(pending)


def keys_without_ttl(connection: redis.Redis) -> set[str]:
    """Return the Redis keys that never expire."""
    persistent: set[str] = set()
    cursor = 0
    while True:
        cursor, batch = connection.scan(cursor, count=1_000)
        pipe = connection.pipeline(transaction=False)
        for key in batch:
            pipe.ttl(key)
        persistent |= {key for key, ttl in zip(batch, pipe.execute(), strict=True) if ttl < 0}
        if cursor == 0:
            return persistent
