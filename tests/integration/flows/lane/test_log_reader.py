"""flows/lane/log_reader.py on a simulated clock: a live reader returns the same items as a replay, and each on time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.lane import log_reader as reader_module
from flows.lane.envelope import Envelope
from flows.lane.log_reader import LaneReader, read_positions
from flows.lane.pipeline import STEPS
from operators.entries import ENTRY_SCHEMA, Chunk, Entry, LogItem, MeetingStarted, Tick
from operators.meeting_config import Clock, MeetingConfig
from operators.ticks import TICK_DELAYS_MS, TickState, after_entry, due
from storage import redis_keys
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.lane_stream import LaneStream

pytestmark = pytest.mark.usefixtures("clean_database")

BEGAN_AT_MS = 1_700_000_000_000
POLL_MS = 100
"""Interval (ms) at which the source reads a quiet log (`flows.lane.source.POLL_MS`)."""
LATE_MS = 500
IDLE_MS = TICK_DELAYS_MS[-1]

SILENCES = st.one_of(
    st.integers(0, 2_000),
    st.sampled_from([3_000, 14_000, 35_000, 40_000, 130_000, 600_000, IDLE_MS - 1, IDLE_MS, IDLE_MS + 60_000]),
    st.sampled_from(TICK_DELAYS_MS).flatmap(lambda delay: st.integers(delay - 1, delay + 1)),
    st.integers(0, 2 * IDLE_MS),
)
"""Milliseconds between two entries of a meeting."""


class SimulatedLog(LaneStream):
    """The lane's log in Redis, with a clock that the test sets."""

    now = BEGAN_AT_MS

    def now_ms(self) -> int:
        return self.now

    def read(self, after: str, count: int, block_ms: int | None = None) -> list[tuple[str, dict[str, str]]]:
        # Blocking would wait in real time, in which nothing arrives.
        return super().read(after, count, None)


@dataclass
class TimedEntries:
    """The entries of a lane's meetings by arrival time, written to the log as the clock advances.

    Attributes:
        client: the client of Redis.
        entries: arrival (Unix ms), meeting id and fields of each entry.
        written: number of entries written so far.
    """

    client: redis.Redis
    entries: list[tuple[int, str, dict[str, str]]]
    written: int = 0

    @classmethod
    def of_meetings(cls, client: redis.Redis, meetings: dict[str, list[int]]) -> TimedEntries:
        """Make the entries of meetings.

        Args:
            client: the client of Redis.
            meetings: silence (ms) before each chunk, by meeting id.
        """
        entries: list[tuple[int, str, dict[str, str]]] = []
        for meeting_id, silences in meetings.items():
            at, n, generation = BEGAN_AT_MS, 0, 0
            config = MeetingConfig(source_language="en", target_languages=("pt",))
            for k, silence in enumerate([0, *silences]):
                at += silence
                payloads: list[Any] = []
                if k == 0 or silence >= IDLE_MS:
                    generation += 1
                    payloads.append(
                        MeetingStarted(clock=Clock.LIVE, generation=generation, config=config, began_at=BEGAN_AT_MS)
                    )
                if k > 0:
                    start = (at - BEGAN_AT_MS) / 1000
                    payloads.append(
                        Chunk(chunk_id=f"c{k}", speaker="Ann", text=f"Sentence {k}.", start=start, end=start)
                    )
                for payload in payloads:
                    n += 1
                    fields = {
                        "schema": str(ENTRY_SCHEMA),
                        "team_id": "default",
                        "meeting_id": meeting_id,
                        "n": str(n),
                        "event_id": str(n),
                        "kind": "chunk" if isinstance(payload, Chunk) else "started",
                        "arrived_at": str(at),
                        "payload": payload.model_dump_json(exclude_none=True),
                    }
                    entries.append((at, meeting_id, fields))
        return cls(client, sorted(entries, key=lambda entry: entry[0]))

    def write(self, until: int) -> None:
        """Append the entries that arrive up to and including a time (Unix ms), with ids of their arrival."""
        pipe = self.client.pipeline(transaction=False)
        while self.written < len(self.entries) and self.entries[self.written][0] <= until:
            at, _, fields = self.entries[self.written]
            pipe.xadd(redis_keys.lane_log("live-1"), fields, id=f"{at}-{self.written + 1}")
            self.written += 1
        pipe.execute()

    def due_items(self, until: int) -> dict[str, list[tuple[int, str]]]:
        """Return each meeting's items that the reader must have returned by a time (Unix ms).

        These are the entries up to it, and the earlier ticks.
        """
        items: dict[str, list[tuple[int, str]]] = {}
        ticks: dict[str, TickState] = {}
        for at, meeting_id, fields in self.entries[: self.written]:
            state = ticks.get(meeting_id, TickState())
            state, due_ticks = due(state, meeting_id, at)
            items.setdefault(meeting_id, []).extend(map(_time_and_name, due_ticks))
            items[meeting_id].append((at, f"entry {fields['n']}"))
            ticks[meeting_id] = after_entry(state, at)
        for meeting_id, state in ticks.items():
            items[meeting_id].extend(map(_time_and_name, due(state, meeting_id, until - 1)[1]))
        return items


def _time_and_name(item: LogItem) -> tuple[int, str]:
    return (item.at, f"tick {item.index}") if isinstance(item, Tick) else (item.arrived_at, f"entry {item.n}")


@dataclass
class ReaderOutput:
    """A reader's output.

    Attributes:
        items: time (Unix ms) and name of each item, by meeting id.
        sentences: due time and read time (Unix ms), by meeting id, sentence id and revision.
    """

    items: dict[str, list[tuple[int, str]]] = field(default_factory=dict[str, list[tuple[int, str]]])
    sentences: dict[tuple[str, str, int], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str, int], tuple[int, int]]
    )
    _states: dict[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])

    def apply(self, envelopes: list[Envelope], now: int) -> None:
        for envelope in envelopes:
            if not isinstance(envelope.item, Entry | Tick):
                continue
            self.items.setdefault(envelope.meeting_id, []).append(_time_and_name(envelope.item))
            for step in STEPS:
                state_key = (envelope.meeting_id, step.name)
                self._states[state_key], envelope = step.run(self._states.get(state_key) or step.initial(), envelope)
            for sentence in envelope.sentences.emitted:
                due_at = _time_and_name(envelope.item)[0]  # pyright: ignore[reportArgumentType]
                self.sentences.setdefault((envelope.meeting_id, sentence.id, sentence.revision), (due_at, now))


@pytest.fixture
async def lane(aengine: AsyncEngine) -> None:
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")


def make_reader(engine: Engine, client: redis.Redis) -> tuple[SimulatedLog, LaneReader]:
    log = SimulatedLog(client, "live-1")
    return log, LaneReader(log, engine, "live-1", 1, STEPS)


def open_meetings(engine: Engine, count: int) -> list[str]:
    ids = [str(uuid4()) for _ in range(count)]
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into meetings (id, team_id, clock, lane_id, config)"
                " values (:id, 'default', 'live', 'live-1', cast(:config as jsonb))"
            ),
            [{"id": UUID(meeting_id), "config": json.dumps({"target_languages": ["pt"]})} for meeting_id in ids],
        )
    return ids


def polls(history: TimedEntries, until: int, phase: int) -> Iterator[int]:
    """Yield the times of the source's reads: at most `POLL_MS` after each arrival or due tick, and at the end."""
    instants = {at for at, *_ in history.entries}
    for at, *_ in history.entries:
        instants |= {at + delay for delay in TICK_DELAYS_MS if at + delay <= until}
    yield from sorted({instant + 1 + phase for instant in instants} | {until})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(silences=[[0, 14_000]], phase=0)
@example(silences=[[0, 130_000, 40_000], [14_000, 3_000]], phase=99)
@given(
    silences=st.lists(st.lists(SILENCES, max_size=6), min_size=1, max_size=3),
    phase=st.integers(0, POLL_MS - 1),
)
def test_live_reading_equals_a_replay_and_is_on_time(
    silences: list[list[int]], phase: int, engine: Engine, redis_sync: redis.Redis, lane: None
) -> None:
    redis_sync.delete(redis_keys.lane_log("live-1"))
    history = TimedEntries.of_meetings(
        redis_sync, dict(zip(open_meetings(engine, len(silences)), silences, strict=True))
    )
    until = history.entries[-1][0] + 2 * IDLE_MS
    log, reader = make_reader(engine, redis_sync)
    live = ReaderOutput()
    for log.now in polls(history, until, phase):
        history.write(log.now)
        live.apply(reader.read(1), log.now)
        # Thus no item is later than the pause between two reads.
        assert live.items == history.due_items(log.now)
    log, reader = make_reader(engine, redis_sync)
    log.now = until
    replay = ReaderOutput()
    replay.apply(reader.read(1), until)
    assert replay.items == live.items
    assert replay.sentences.keys() == live.sentences.keys()
    assert all(seen - due_at <= LATE_MS for due_at, seen in live.sentences.values())


@pytest.mark.parametrize(
    "read_count", [500, 4], ids=["a log that is read to its end", "a log that is never read to its end"]
)
def test_a_quiet_meeting_gets_its_ticks_while_another_meeting_never_pauses(
    read_count: int, engine: Engine, redis_sync: redis.Redis, lane: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "READ_COUNT", read_count)
    quiet, busy = open_meetings(engine, 2)
    # In the second case, each poll finds the maximum number of entries of one read.
    history = TimedEntries.of_meetings(redis_sync, {quiet: [0], busy: [POLL_MS // 4] * 400})
    log, reader = make_reader(engine, redis_sync)
    live = ReaderOutput()
    for log.now in range(BEGAN_AT_MS, BEGAN_AT_MS + 8_000, POLL_MS):
        history.write(log.now)
        live.apply(reader.read(1), log.now)
        expected = [at for at, name in history.due_items(log.now)[quiet] if name.startswith("tick")]
        read = [at for at, name in live.items.get(quiet, []) if name.startswith("tick")]
        assert [at for at in expected if at not in read and log.now - at > LATE_MS] == []


@pytest.mark.parametrize(
    ("retain_after", "position"), [(None, "20-0"), ("9-5", "9-5"), ("30-0", "20-0")], ids=["none", "older", "newer"]
)
def test_the_read_position_precedes_every_uncommitted_entry(
    engine: Engine, retain_after: str | None, position: str
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("insert into lanes (id, kind, log_id, retain_after) values ('live-1', 'live', '20-0', :retain_after)"),
            {"retain_after": retain_after},
        )
    assert read_positions(engine, "live-1") == ([], position)
