"""What a meeting comes to is a function of its log: whatever paused, moved or died while it was written."""

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
from operators.model import (
    Chunk,
    Clock,
    ConfigChanged,
    Ended,
    Entry,
    Item,
    MeetingConfig,
    Moved,
    Payload,
    Sentence,
    Started,
    Tick,
    parse_entry,
)
from operators.ticks import TickState, after_entry, due, next_due
from storage import keys
from storage.log import IDLE_TIMEOUT_MS, Log, LogReader, NewEvent
from storage.meetings import Meetings
from storage.placement import ensure_lane
from tests.chaos.folding import Fold, Step
from tests.chaos.keeper import Keeper
from tests.chaos.report import FULL, Row
from tests.chaos.steward import Steward
from tests.harness.lanes import open_recorded, over_and_paid, rows, until
from tests.harness.speech import START
from tests.unit.operators.test_sentences import arrivals, chunks, over_hours

Report = Callable[[Row], None]

HISTORIES = 10_000 if FULL else 300
LIVE = 400 if FULL else 40
"""Live meetings of which two readers are compared."""
MOVED = 60 if FULL else 10
"""Live meetings that move between two lanes."""
MOVES_EACH = 12 if FULL else 5

pytestmark = pytest.mark.timeout(3600 if FULL else 600)


# --- simulated ---


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """The log of a meeting, as the door writes it: chunks with their revisions, repeats and pauses, perhaps half an hour of
    silence, a config that changes, and an end, or none.
    """
    spoken = draw(chunks())
    said = draw(st.one_of(arrivals(spoken), over_hours(spoken)))
    silences = draw(st.lists(st.integers(0, len(said)), max_size=2))
    timed: list[tuple[float, Payload]] = []
    for k, (at, payload) in enumerate(said):
        timed.append((at + 1_900.0 * sum(k >= silence > 0 for silence in silences), payload))
    if draw(st.booleans()):
        k = draw(st.integers(0, len(timed) - 1))
        config = MeetingConfig(target_languages=("pt", "de"), context_sentences=1)
        timed.insert(k, (timed[k][0], ConfigChanged(config=config)))
    if draw(st.booleans()):
        timed.append((timed[-1][0] + draw(st.sampled_from([0.0, 0.3, 7.0, 150.0])), Ended()))
    return _log(timed)


def _log(timed: Sequence[tuple[float, Payload]]) -> list[Entry]:
    config = MeetingConfig(target_languages=("pt",))
    entries: list[Entry] = []

    def add(at: int, payload: Payload) -> None:
        entries.append(Entry("default", "m", len(entries) + 1, str(len(entries)), at, payload))

    def start(at: int, generation: int) -> None:
        add(at, Started(clock=Clock.LIVE, generation=generation, config=config, began_at=START))

    start(START, generation := 1)
    for seconds, payload in timed:
        at = START + round(seconds * 1000)
        if at - entries[-1].arrived_at >= IDLE_TIMEOUT_MS:
            generation += 1
            start(at, generation)
        if isinstance(payload, ConfigChanged):
            config = payload.config
        add(at, payload)
    return entries


def replayed(entries: Sequence[Entry]) -> list[Step]:
    """What the operators make of a log that is read in one go: all ticks between two entries, none after the last."""
    fold, ticks = Fold(), TickState()
    for entry in entries:
        ticks, before = due(ticks, entry.meeting_id, entry.arrived_at)
        ticks = after_entry(ticks, entry.arrived_at)
        for item in (*before, entry):
            fold.take(_envelope(item))
    return fold.steps


def _envelope(item: Item) -> Envelope:
    n = item.n if isinstance(item, Entry) else 0
    return Envelope("default", item.meeting_id, n, "0-0", item)


@dataclass
class Stored:
    """What is committed of a meeting: how far it came, its clock and states, and what was done by then."""

    n: int
    ticks: TickState
    states: bytes
    steps: list[Step]


class Live:
    """A source and a fold that work a meeting off while it is written, and are interrupted.

    Args:
        entries: what will be in the log.
        chance: when it finds the log drained, what is committed, when it dies and when the meeting moves.
    """

    def __init__(self, entries: Sequence[Entry], chance: random.Random) -> None:
        self._entries, self._chance = entries, chance
        self._written = 0
        self._n, self._ticks, self._fold = 0, TickState(), Fold()
        self._stored = Stored(0, TickState(), self._fold.dump(), [])

    def run(self) -> list[Step]:
        """Work everything off, and say what was done, as far as it was not done again."""
        while self._written < len(self._entries):
            self._written += 1
            self._read()
            self._wait()
        self._read()
        return self._stored.steps + self._fold.steps

    def _read(self) -> None:
        """What is in the log and was not worked off."""
        while self._n < self._written:
            entry = self._entries[self._n]
            if not self._tick(entry.arrived_at):
                self._n, self._ticks = entry.n, after_entry(self._ticks, entry.arrived_at)
                self._take(entry)

    def _wait(self) -> None:
        """Until the next entry the log is found drained a few times, at any instant."""
        if self._written == len(self._entries):
            return
        now, then = (one.arrived_at for one in self._entries[self._written - 1 : self._written + 1])
        for instant in sorted(self._chance.randint(now, then) for _ in range(self._chance.choice((0, 1, 3)))):
            self._read()
            while self._tick(instant - 1):
                self._read()

    def _tick(self, until: int) -> bool:
        """The next tick, if it is due."""
        at = next_due(self._ticks)
        if at is None or at > until:
            return False
        self._ticks, (tick,) = due(self._ticks, "m", at)
        self._take(tick)
        return True

    def _take(self, item: Item) -> None:
        self._fold.take(_envelope(item))
        fate = self._chance.random()
        if fate < 0.2:
            self._commit()
        elif fate < 0.3:
            self._die()
        elif fate < 0.4:
            self._move()

    def _commit(self) -> None:
        steps = self._stored.steps + self._fold.steps
        self._fold.steps = []
        self._stored = Stored(self._n, self._ticks, self._fold.dump(), steps)

    def _die(self) -> None:
        self._fold = Fold.load(self._stored.states)
        self._n, self._ticks = self._stored.n, self._stored.ticks

    def _move(self) -> None:
        """The old lane lets go at an entry of its own, with the state before that; the new one takes it up."""
        self._commit()
        moved = Entry("default", "m", self._n, "moved", 0, Moved(lane="other", move=1))
        self._fold.take(_envelope(moved))
        assert self._fold.dump() == Fold().dump()
        self._die()


def test_whatever_interrupts_it_a_history_leads_to_the_same(report: Report) -> None:
    told = {"histories": 0, "items": 0}

    @settings(max_examples=HISTORIES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories(), st.integers(0, 2**32))
    def check(entries: list[Entry], seed: int) -> None:
        expected = replayed(entries)
        assert Live(entries, random.Random(seed)).run() == expected
        told["histories"] += 1
        told["items"] += len(expected)

    check()
    count = told["histories"]
    assert count >= HISTORIES
    report(Row("event histories", 0, count, count, 0, 0, 0, 0, None, {"items": told["items"]}))


# --- on the real log ---


@pytest.mark.usefixtures("clean_database")
async def test_a_reader_that_comes_later_gives_the_same_items_as_one_that_was_there(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, report: Report
) -> None:
    meetings, chance = Meetings(aengine, Log(redis_async)), random.Random(3)
    ids = [await open_recorded(meetings, aengine, clock=Clock.LIVE) for _ in range(LIVE)]
    stopping = threading.Event()
    log = LogReader(redis_sync, "live-1")
    there = LaneReader(log, engine, "live-1", 0, STEPS)
    seen: list[Envelope] = []

    def read() -> None:
        while not stopping.is_set():
            seen.extend(there.read(20))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        await asyncio.gather(*(_talk(meetings, meeting_id, chance, k % 3 > 0) for k, meeting_id in enumerate(ids)))
        # Those that nobody ended fall quiet; the ticks after their last entry are only the live reader's to give.
        await asyncio.sleep(1.0)
        await until(lambda: there.position == log.last_id(), 120)
    finally:
        stopping.set()
        thread.join()
    later = LaneReader(LogReader(redis_sync, "live-1"), engine, "live-1", 0, STEPS)
    again: list[Envelope] = []
    while found := later.read(1):
        again.extend(found)
        if later.position == there.position:
            break
    lived, read_later = _items(seen), _items(again)
    assert set(lived) == set(read_later) == {str(meeting_id) for meeting_id in ids}
    for meeting_id, items in lived.items():
        assert items == read_later[meeting_id]
    items = sum(map(len, lived.values()))
    ticks = sum(isinstance(item, Tick) for items in lived.values() for item in items)
    assert ticks > LIVE
    report(Row("live logs read again", 0, LIVE, LIVE, 0, 0, 0, 0, None, {"items": items, "ticks": ticks}))


async def _talk(meetings: Meetings, meeting_id: UUID, chance: random.Random, ends: bool) -> None:
    """Chunks that grow, with pauses of which many end about when a tick is due."""
    for k in range(8):
        await asyncio.sleep(chance.choice((0.0, 0.05, 0.2, 0.2, 0.5, 0.7, 1.0, 1.6)) * chance.uniform(0.95, 1.05))
        words = f"this is what we say {k}"[: 6 + 4 * (k % 4)] + "." * (k % 2)
        chunk = Chunk(chunk_id=str(k // 2), speaker="AB"[k % 3 % 2], text=words, start=k // 2, end=k // 2 + 1)
        [answer] = await meetings.append("default", meeting_id, [NewEvent(str(k), chunk)])
        assert answer.outcome == "accepted"
    if ends:
        await meetings.append("default", meeting_id, [NewEvent("end", Ended())])


def _items(envelopes: Sequence[Envelope]) -> dict[str, list[Item]]:
    """Each meeting's items up to its last entry."""
    items: dict[str, list[Item]] = {}
    for one in envelopes:
        if isinstance(one.item, Entry | Tick):
            items.setdefault(one.meeting_id, []).append(one.item)
    for mine in items.values():
        while isinstance(mine[-1], Tick):
            mine.pop()
    return items


@pytest.mark.usefixtures("clean_database")
async def test_live_meetings_that_move_between_lanes_that_die_have_the_rows_of_their_log(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    report: Report,
) -> None:
    chance, lanes = random.Random(5), ("live-1", "live-2")
    async with aengine.begin() as connection:
        for lane_id in lanes:
            await ensure_lane(connection, lane_id, "live")
    meetings = Meetings(aengine, Log(redis_async))
    ids = [await open_recorded(meetings, aengine, clock=Clock.LIVE) for _ in range(MOVED)]
    log: dict[str, dict[int, Entry]] = {}
    stopping, done = threading.Event(), asyncio.Event()
    copying = threading.Thread(target=_copy, args=(redis_sync, lanes, log, stopping), daemon=True)
    copying.start()
    kills = 0

    async def move(meeting_id: UUID) -> None:
        for k in range(MOVES_EACH):
            await asyncio.sleep(chance.uniform(0.0, 2 * 8 * 0.5 / MOVES_EACH))
            await meetings.move("default", meeting_id, lanes[k % 2])

    async def live(meeting_id: UUID) -> None:
        await asyncio.gather(_talk(meetings, meeting_id, chance, False), move(meeting_id))
        await meetings.append("default", meeting_id, [NewEvent("end", Ended())])

    with Steward(postgres_url, redis_url), ExitStack() as stack:
        keepers = [
            stack.enter_context(
                Keeper(LaneOptions(lane, "live", postgres_url, redis_url, deadline=1.0), tmp_path / f"{lane}.log")
            )
            for lane in lanes
        ]

        async def kill() -> None:
            nonlocal kills
            while not done.is_set():
                await asyncio.sleep(chance.uniform(0.5, 2.0))
                await asyncio.to_thread(chance.choice(keepers).kill)
                kills += 1

        killing = asyncio.create_task(kill())
        await asyncio.gather(*map(live, ids))
        done.set()
        await killing
        await until(over_and_paid(engine, *ids), 120)
        deaths = {status for keeper in keepers for status in keeper.deaths}
    stopping.set()
    copying.join()
    accepted = sum(map(len, log.values()))
    found = rows(
        engine,
        'select meeting_id, id, revision, speaker, text, start, "end", boundary, first_emitted, first_text from sentences'
        " where not retracted",
    )
    here: dict[str, set[tuple[Any, ...]]] = {str(meeting_id): set() for meeting_id in ids}
    for meeting_id, *row in found:
        here[str(meeting_id)].add(tuple(row))
    differ = [one for one, entries in log.items() if here[one] != _standing(sorted(entries.items()))]
    stored = rows(engine, "select sum(last_committed), sum(moves) from meetings")[0]
    assert rows(engine, "select 1 from dead_letters") == []
    seqs = "select meeting_id from outbox group by 1 having count(*) <> max(seq) or min(seq) <> 1"
    assert rows(engine, seqs) == []
    detail = {"moves": int(stored[1]), "meetings": MOVED}
    report(Row("live meetings moved, killed", kills, accepted, int(stored[0]), 0, len(differ), 0, 0, None, detail))
    assert differ == []
    assert accepted == stored[0] == MOVED * 10
    assert deaths <= {-signal.SIGKILL}


def _copy(
    connection: redis.Redis, lanes: Sequence[str], log: dict[str, dict[int, Entry]], stopping: threading.Event
) -> None:
    """Copy the lanes' logs as they are written, before they are trimmed."""
    places = {keys.lane(lane): "0-0" for lane in lanes}
    while True:
        over = stopping.is_set()
        answer: Any = connection.xread(places, count=500)
        for stream, entries in answer:
            for log_id, fields in entries:
                places[stream] = log_id
                entry = parse_entry(fields)
                if not isinstance(entry.payload, Moved):
                    log.setdefault(entry.meeting_id, {})[entry.n] = entry
        if over and not answer:
            return
        stopping.wait(0.01)


def _standing(entries: Sequence[tuple[int, Entry]]) -> set[tuple[Any, ...]]:
    """The sentences that stand at the end of a log."""
    assert [n for n, _ in entries] == list(range(1, len(entries) + 1)), "the copy of the log has a gap"
    standing: dict[str, Sentence] = {}
    for _, _, done, _ in replayed([entry for _, entry in entries]):
        for gone in done.retracted:
            standing.pop(gone.id, None)
        standing |= {sentence.id: sentence for sentence in done.put_out}
    return {
        (s.id, s.revision, s.speaker, s.text, s.start, s.end, str(s.boundary), s.first_emitted, s.first_text)
        for s in standing.values()
    }
