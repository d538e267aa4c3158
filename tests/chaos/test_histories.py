"""A meeting's result is a function of its log, whatever pauses, moves and crashes happened while the log was written."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.lane.envelope import Envelope
from flows.lane.log_reader import LaneReader
from flows.lane.options import LaneOptions
from flows.lane.pipeline import STEPS
from operators.entries import (
    Chunk,
    ConfigChanged,
    Entry,
    EntryPayload,
    LogItem,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    Tick,
    parse_entry,
)
from operators.meeting_config import Clock, MeetingConfig
from operators.stream import Sentence
from operators.ticks import TickState, after_entry, due, next_due
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.event_log import IDLE_TIMEOUT_MS, LogWriter, NewEvent
from storage.redis_log.lane_stream import LaneStream
from tests.chaos.results.reference_fold import FoldStep, MeetingFold
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.systems.lane_process import LaneProcess
from tests.chaos.systems.maintenance_thread import MaintenanceThread
from tests.harness.lane.operator_runs import START_MS
from tests.harness.lane.threaded_lane import ended_without_pending, open_lane_meeting, query_rows, wait_until
from tests.unit.operators.sentences.test_tracker import chunk_histories, interleaved_arrivals, slow_arrivals

Report = Callable[[ScenarioRow], None]

HISTORY_COUNT = 10_000 if FULL else 300
COMPARED_MEETING_COUNT = 400 if FULL else 40
"""The number of live meetings for which two readers are compared."""
MOVED_MEETING_COUNT = 60 if FULL else 10
"""The number of live meetings that move between two lanes."""
MOVES_PER_MEETING = 12 if FULL else 5

pytestmark = pytest.mark.timeout(3600 if FULL else 600)


# --- simulated ---


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Draw the log of a meeting as the ingest API writes it: chunks with revisions, repeats and pauses.

    The log may contain half an hour of silence, a config change and an end.
    """
    chunks = draw(chunk_histories())
    timed_payloads = draw(st.one_of(interleaved_arrivals(chunks), slow_arrivals(chunks)))
    silences = draw(st.lists(st.integers(0, len(timed_payloads)), max_size=2))
    timed: list[tuple[float, EntryPayload]] = []
    for k, (at, payload) in enumerate(timed_payloads):
        timed.append((at + 1_900.0 * sum(k >= silence > 0 for silence in silences), payload))
    if draw(st.booleans()):
        k = draw(st.integers(0, len(timed) - 1))
        config = MeetingConfig(target_languages=("pt", "de"), context_sentences=1)
        timed.insert(k, (timed[k][0], ConfigChanged(config=config)))
    if draw(st.booleans()):
        timed.append((timed[-1][0] + draw(st.sampled_from([0.0, 0.3, 7.0, 150.0])), MeetingEnded()))
    return _make_entries(timed)


def _make_entries(timed: Sequence[tuple[float, EntryPayload]]) -> list[Entry]:
    config = MeetingConfig(target_languages=("pt",))
    entries: list[Entry] = []

    def append(at: int, payload: EntryPayload) -> None:
        entries.append(Entry("default", "m", len(entries) + 1, str(len(entries)), at, payload))

    def append_start(at: int, generation: int) -> None:
        append(at, MeetingStarted(clock=Clock.LIVE, generation=generation, config=config, began_at=START_MS))

    append_start(START_MS, generation := 1)
    for seconds, payload in timed:
        at = START_MS + round(seconds * 1000)
        if at - entries[-1].arrived_at >= IDLE_TIMEOUT_MS:
            generation += 1
            append_start(at, generation)
        if isinstance(payload, ConfigChanged):
            config = payload.config
        append(at, payload)
    return entries


def replay(entries: Sequence[Entry]) -> list[FoldStep]:
    """Run the operators on a log read without interruption, with all ticks between entries and none after the last."""
    fold, ticks = MeetingFold(), TickState()
    for entry in entries:
        ticks, due_ticks = due(ticks, entry.meeting_id, entry.arrived_at)
        ticks = after_entry(ticks, entry.arrived_at)
        for item in (*due_ticks, entry):
            fold.apply(_envelope(item))
    return fold.steps


def _envelope(item: LogItem) -> Envelope:
    n = item.n if isinstance(item, Entry) else 0
    return Envelope("default", item.meeting_id, n, "0-0", item)


@dataclass
class FoldCheckpoint:
    """The committed state of a meeting: its position, tick clock and operator states, and the steps up to them."""

    n: int
    ticks: TickState
    states: bytes
    steps: list[FoldStep]


class InterruptedFold:
    """A source and a fold that process a meeting while its log is written, with interruptions.

    Args:
        entries: the entries that the log will contain.
        rng: decides when the log is found drained, and when the fold commits, restarts or moves.
    """

    def __init__(self, entries: Sequence[Entry], rng: random.Random) -> None:
        self._entries, self._rng = entries, rng
        self._written = 0
        self._n, self._ticks, self._fold = 0, TickState(), MeetingFold()
        self._checkpoint = FoldCheckpoint(0, TickState(), self._fold.dump(), [])

    def run(self) -> list[FoldStep]:
        """Process the whole log. Returns the steps, each once although some were repeated."""
        while self._written < len(self._entries):
            self._written += 1
            self._read()
            self._poll_until_next()
        self._read()
        return self._checkpoint.steps + self._fold.steps

    def _read(self) -> None:
        """Process the entries that are in the log and not yet processed."""
        while self._n < self._written:
            entry = self._entries[self._n]
            if not self._tick(entry.arrived_at):
                self._n, self._ticks = entry.n, after_entry(self._ticks, entry.arrived_at)
                self._apply(entry)

    def _poll_until_next(self) -> None:
        """Poll the drained log at random instants before the next entry."""
        if self._written == len(self._entries):
            return
        now, then = (entry.arrived_at for entry in self._entries[self._written - 1 : self._written + 1])
        for instant in sorted(self._rng.randint(now, then) for _ in range(self._rng.choice((0, 1, 3)))):
            self._read()
            while self._tick(instant - 1):
                self._read()

    def _tick(self, until: int) -> bool:
        """Process the next tick if it is due by `until`. Returns whether it was."""
        at = next_due(self._ticks)
        if at is None or at > until:
            return False
        self._ticks, (tick,) = due(self._ticks, "m", at)
        self._apply(tick)
        return True

    def _apply(self, item: LogItem) -> None:
        self._fold.apply(_envelope(item))
        draw = self._rng.random()
        if draw < 0.2:
            self._commit()
        elif draw < 0.3:
            self._restart()
        elif draw < 0.4:
            self._move()

    def _commit(self) -> None:
        steps = self._checkpoint.steps + self._fold.steps
        self._fold.steps = []
        self._checkpoint = FoldCheckpoint(self._n, self._ticks, self._fold.dump(), steps)

    def _restart(self) -> None:
        self._fold = MeetingFold.load(self._checkpoint.states)
        self._n, self._ticks = self._checkpoint.n, self._checkpoint.ticks

    def _move(self) -> None:
        """Move the meeting: the old lane releases it at a `moved` entry, the new lane restores the state before it."""
        self._commit()
        moved = Entry("default", "m", self._n, "moved", 0, MeetingMoved(lane="other", move=1))
        self._fold.apply(_envelope(moved))
        assert self._fold.dump() == MeetingFold().dump()
        self._restart()


def test_interruptions_do_not_change_a_meetings_result(report: Report) -> None:
    counts = {"histories": 0, "items": 0}

    @settings(max_examples=HISTORY_COUNT, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories(), st.integers(0, 2**32))
    def check(entries: list[Entry], seed: int) -> None:
        expected = replay(entries)
        assert InterruptedFold(entries, random.Random(seed)).run() == expected
        counts["histories"] += 1
        counts["items"] += len(expected)

    check()
    count = counts["histories"]
    assert count >= HISTORY_COUNT
    report(ScenarioRow("event histories", 0, count, count, 0, 0, 0, 0, None, {"items": counts["items"]}))


# --- on the real log ---


@pytest.mark.usefixtures("clean_database")
async def test_a_later_reader_yields_the_same_items_as_a_live_reader(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, report: Report
) -> None:
    meetings, rng = MeetingService(aengine, LogWriter(redis_async)), random.Random(3)
    ids = [await open_lane_meeting(meetings, aengine, clock=Clock.LIVE) for _ in range(COMPARED_MEETING_COUNT)]
    stopping = threading.Event()
    log = LaneStream(redis_sync, "live-1")
    live_reader = LaneReader(log, engine, "live-1", 0, STEPS)
    live_envelopes: list[Envelope] = []

    def read() -> None:
        while not stopping.is_set():
            live_envelopes.extend(live_reader.read(20))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        await asyncio.gather(
            *(_append_growing_chunks(meetings, meeting_id, rng, k % 3 > 0) for k, meeting_id in enumerate(ids))
        )
        # The meetings without an end fall silent. Only the live reader emits the ticks after their last entry.
        await asyncio.sleep(1.0)
        await wait_until(lambda: live_reader.position == log.last_id(), 120)
    finally:
        stopping.set()
        thread.join()
    later_reader = LaneReader(LaneStream(redis_sync, "live-1"), engine, "live-1", 0, STEPS)
    later_envelopes: list[Envelope] = []
    while found := later_reader.read(1):
        later_envelopes.extend(found)
        if later_reader.position == live_reader.position:
            break
    live_items, later_items = _items_by_meeting(live_envelopes), _items_by_meeting(later_envelopes)
    assert set(live_items) == set(later_items) == {str(meeting_id) for meeting_id in ids}
    for meeting_id, items in live_items.items():
        assert items == later_items[meeting_id]
    items = sum(map(len, live_items.values()))
    ticks = sum(isinstance(item, Tick) for items in live_items.values() for item in items)
    assert ticks > COMPARED_MEETING_COUNT
    report(
        ScenarioRow(
            "live logs read again",
            0,
            COMPARED_MEETING_COUNT,
            COMPARED_MEETING_COUNT,
            0,
            0,
            0,
            0,
            None,
            {"items": items, "ticks": ticks},
        )
    )


async def _append_growing_chunks(meetings: MeetingService, meeting_id: UUID, rng: random.Random, ends: bool) -> None:
    """Append growing chunks. Many of the pauses between them end about when a tick is due."""
    for k in range(8):
        await asyncio.sleep(rng.choice((0.0, 0.05, 0.2, 0.2, 0.5, 0.7, 1.0, 1.6)) * rng.uniform(0.95, 1.05))
        words = f"this is what we say {k}"[: 6 + 4 * (k % 4)] + "." * (k % 2)
        chunk = Chunk(chunk_id=str(k // 2), speaker="AB"[k % 3 % 2], text=words, start=k // 2, end=k // 2 + 1)
        [appended] = await meetings.append("default", meeting_id, [NewEvent(str(k), chunk)])
        assert appended.outcome == "accepted"
    if ends:
        await meetings.append("default", meeting_id, [NewEvent("end", MeetingEnded())])


def _items_by_meeting(envelopes: Sequence[Envelope]) -> dict[str, list[LogItem]]:
    """Return each meeting's items up to its last entry."""
    items: dict[str, list[LogItem]] = {}
    for envelope in envelopes:
        if isinstance(envelope.item, Entry | Tick):
            items.setdefault(envelope.meeting_id, []).append(envelope.item)
    for meeting_items in items.values():
        while isinstance(meeting_items[-1], Tick):
            meeting_items.pop()
    return items


@pytest.mark.usefixtures("clean_database")
async def test_live_meetings_moved_between_killed_lanes_have_the_rows_of_their_log(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    report: Report,
) -> None:
    rng, lanes = random.Random(5), ("live-1", "live-2")
    async with aengine.begin() as connection:
        for lane_id in lanes:
            await ensure_lane(connection, lane_id, "live")
    meetings = MeetingService(aengine, LogWriter(redis_async))
    ids = [await open_lane_meeting(meetings, aengine, clock=Clock.LIVE) for _ in range(MOVED_MEETING_COUNT)]
    log: dict[str, dict[int, Entry]] = {}
    stopping, done = threading.Event(), asyncio.Event()
    copying = threading.Thread(target=_copy_logs, args=(redis_sync, lanes, log, stopping), daemon=True)
    copying.start()
    kills = 0

    async def move(meeting_id: UUID) -> None:
        for k in range(MOVES_PER_MEETING):
            await asyncio.sleep(rng.uniform(0.0, 2 * 8 * 0.5 / MOVES_PER_MEETING))
            await meetings.move("default", meeting_id, lanes[k % 2])

    async def live(meeting_id: UUID) -> None:
        await asyncio.gather(_append_growing_chunks(meetings, meeting_id, rng, False), move(meeting_id))
        await meetings.append("default", meeting_id, [NewEvent("end", MeetingEnded())])

    with MaintenanceThread(postgres_url, redis_url), ExitStack() as stack:
        lane_processes = [
            stack.enter_context(
                LaneProcess(LaneOptions(lane, "live", postgres_url, redis_url, deadline=1.0), tmp_path / f"{lane}.log")
            )
            for lane in lanes
        ]

        async def kill() -> None:
            nonlocal kills
            while not done.is_set():
                await asyncio.sleep(rng.uniform(0.5, 2.0))
                await asyncio.to_thread(rng.choice(lane_processes).kill)
                kills += 1

        killing = asyncio.create_task(kill())
        await asyncio.gather(*map(live, ids))
        done.set()
        await killing
        await wait_until(ended_without_pending(engine, *ids), 120)
        exit_statuses = {status for lane_process in lane_processes for status in lane_process.exit_statuses}
    stopping.set()
    copying.join()
    accepted = sum(map(len, log.values()))
    found = query_rows(
        engine,
        'select meeting_id, id, revision, speaker, text, start, "end", boundary, first_emitted, first_text from sentences'
        " where not retracted",
    )
    stored_sentences: dict[str, set[tuple[Any, ...]]] = {str(meeting_id): set() for meeting_id in ids}
    for meeting_id, *row in found:
        stored_sentences[str(meeting_id)].add(tuple(row))
    different = [
        meeting_id
        for meeting_id, entries in log.items()
        if stored_sentences[meeting_id] != _final_sentences(sorted(entries.items()))
    ]
    stored = query_rows(engine, "select sum(last_committed), sum(moves) from meetings")[0]
    assert query_rows(engine, "select 1 from dead_letters") == []
    seqs = "select meeting_id from outbox group by 1 having count(*) <> max(seq) or min(seq) <> 1"
    assert query_rows(engine, seqs) == []
    detail = {"moves": int(stored[1]), "meetings": MOVED_MEETING_COUNT}
    report(
        ScenarioRow(
            "live meetings moved, killed", kills, accepted, int(stored[0]), 0, len(different), 0, 0, None, detail
        )
    )
    assert different == []
    assert accepted == stored[0] == MOVED_MEETING_COUNT * 10
    assert exit_statuses <= {-signal.SIGKILL}


def _copy_logs(
    connection: redis.Redis, lanes: Sequence[str], log: dict[str, dict[int, Entry]], stopping: threading.Event
) -> None:
    """Copy the lanes' logs while they are written, before they are trimmed."""
    positions = {redis_keys.lane_log(lane): "0-0" for lane in lanes}
    while True:
        is_last_round = stopping.is_set()
        response: Any = connection.xread(positions, count=500)
        for stream, entries in response:
            for log_id, fields in entries:
                positions[stream] = log_id
                entry = parse_entry(fields)
                if not isinstance(entry.payload, MeetingMoved):
                    log.setdefault(entry.meeting_id, {})[entry.n] = entry
        if is_last_round and not response:
            return
        stopping.wait(0.01)


def _final_sentences(entries: Sequence[tuple[int, Entry]]) -> set[tuple[Any, ...]]:
    """Return the sentences that remain at the end of a log."""
    assert [n for n, _ in entries] == list(range(1, len(entries) + 1)), "the copy of the log has a gap"
    current: dict[str, Sentence] = {}
    for _, _, output, _ in replay([entry for _, entry in entries]):
        for retracted in output.retractions:
            current.pop(retracted.id, None)
        current |= {sentence.id: sentence for sentence in output.emitted}
    return {
        (s.id, s.revision, s.speaker, s.text, s.start, s.end, str(s.boundary), s.first_emitted, s.first_text)
        for s in current.values()
    }
