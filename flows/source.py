"""The lane's source: its log, with the ticks that make time data, and each open meeting's state before anything else.

A thread reads the log, so that the dataflow never waits for Redis. Every meeting gets the same items, one for one,
live, after a crash and in a replay: its entries in order, each once, and a tick wherever it was quiet for long enough.
"""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from pydantic import TypeAdapter
from sqlalchemy import Engine, text

from flows.envelope import Envelope, Restored
from operators.errors import Invalid
from operators.model import Clock, Ended, Entry, Started, parse_entry
from operators.ticks import TickState, after_entry, due, next_due
from storage.changes import DeadLetter
from storage.log import LogReader, before

TICKS = TypeAdapter(TickState)
READ = 500
"""Entries taken from the log at once."""
AHEAD = 2_000
"""Items read ahead of the dataflow: bounds what a slow flow holds in memory."""
HAND = 100
"""Items handed to the dataflow at once: what one transaction commits, and what a pause of a batch lane can overshoot."""
POLL_MS = 100


@dataclass(slots=True)
class _Meeting:
    """Where the source stands in one open meeting."""

    team_id: str
    clock: Clock
    n: int
    ticks: TickState
    awaited: bool = False


def read_positions(engine: Engine, lane_id: str) -> tuple[list[Any], str]:
    """The lane's open meetings as last committed, and the log's id to read on from (exclusive).

    That is the oldest id that an open meeting's state stands at, or what the lane had seen if that is older:
    a meeting that had timed out may have begun again since.
    """
    with engine.connect() as connection:
        seen = connection.execute(text("select log_id from lanes where id = :lane"), {"lane": lane_id}).scalar_one()
        rows = connection.execute(
            text(
                "select id, team_id, clock, n, log_id, state from meetings"
                " where lane_id = :lane and status in ('created', 'live', 'paused') order by id"
            ),
            {"lane": lane_id},
        ).all()
    if any(row.log_id is None for row in rows):
        return list(rows), "0-0"
    ids = [row.log_id if row.state is not None else before(row.log_id) for row in rows]
    return list(rows), min([seen, *ids], key=_order)


def _order(log_id: str) -> tuple[int, int]:
    ms, _, k = log_id.partition("-")
    return int(ms), int(k)


class LaneReader:
    """Turns the log of a lane into envelopes: restored states first, then entries and ticks.

    Args:
        reader: the lane's log.
        engine: the database that holds the committed states.
        lane_id: the lane.
    """

    def __init__(self, reader: LogReader, engine: Engine, lane_id: str) -> None:
        self._reader = reader
        self._engine = engine
        self._meetings: dict[str, _Meeting] = {}
        self._waiting: list[tuple[int, str]] = []
        rows, self._position = read_positions(engine, lane_id)
        self._restored = [row for row in rows if row.state is not None]

    def restore(self) -> Iterator[Envelope]:
        """One `Restored` item for each open meeting that has a committed state."""
        for row in self._restored:
            meeting_id = str(row.id)
            ticks = TICKS.validate_python(row.state["ticks"])
            self._meetings[meeting_id] = meeting = _Meeting(row.team_id, Clock(row.clock), row.n, ticks)
            self._await(meeting_id, meeting)
            yield Envelope(
                row.team_id, meeting_id, row.n, row.log_id, Restored(meeting_id, row.state), states={"ticks": ticks}
            )

    def read(self, block_ms: int) -> list[Envelope]:
        """What came since the last call; where nothing came, the ticks that are due in meetings with a live clock.

        Redis' time is taken before the log is read: if the log then proves empty, nothing that was accepted
        before that time is still to come, so ticks due before it are in their right place.
        """
        now = self._reader.now_ms()
        entries = self._reader.read(self._position, READ, None) or []
        if entries:
            return [envelope for log_id, fields in entries for envelope in self._take(log_id, fields)]
        ticks = list(self._drained(now))
        if not ticks and (entries := self._reader.read(self._position, READ, block_ms)):
            return [envelope for log_id, fields in entries for envelope in self._take(log_id, fields)]
        return ticks

    def _take(self, log_id: str, fields: dict[str, str]) -> Iterator[Envelope]:
        try:
            entry = parse_entry(fields)
        except Invalid as error:
            meeting_id = fields.get("meeting_id") or "?"
            letter = DeadLetter(log_id, str(error), fields, fields.get("team_id"), meeting_id)
            yield Envelope(fields.get("team_id") or "?", meeting_id, 0, log_id, None, dead=letter)
        else:
            yield from self._entry(log_id, entry)
        self._position = log_id

    def _entry(self, log_id: str, entry: Entry) -> Iterator[Envelope]:
        meeting = self._meetings.get(entry.meeting_id)
        if meeting is None:
            # A lane that starts again reads past meetings that ended meanwhile: theirs is done.
            if not isinstance(entry.payload, Started) or self._is_over(entry):
                return
            meeting = _Meeting(entry.team_id, entry.payload.clock, entry.n - 1, TickState(entry.arrived_at))
        if entry.n <= meeting.n:
            return
        # Ticks due until the entry come before it, in a meeting with any clock.
        yield from self._ticks(meeting, entry.meeting_id, entry.arrived_at)
        meeting.n, meeting.ticks = entry.n, after_entry(meeting.ticks, entry.arrived_at)
        if isinstance(entry.payload, Ended):
            self._meetings.pop(entry.meeting_id, None)
        else:
            self._meetings[entry.meeting_id] = meeting
            self._await(entry.meeting_id, meeting)
        yield Envelope(entry.team_id, entry.meeting_id, entry.n, log_id, entry, states={"ticks": meeting.ticks})

    def _ticks(self, meeting: _Meeting, meeting_id: str, until: int) -> Iterator[Envelope]:
        for tick in due(meeting.ticks, meeting_id, until)[1]:
            meeting.ticks, _ = due(meeting.ticks, meeting_id, tick.at)
            if tick.idle:
                self._meetings.pop(meeting_id, None)
            states = {"ticks": meeting.ticks}
            yield Envelope(meeting.team_id, meeting_id, meeting.n, self._position, tick, states=states)

    def _drained(self, now: int) -> Iterator[Envelope]:
        while self._waiting and self._waiting[0][0] < now:
            _, meeting_id = heapq.heappop(self._waiting)
            meeting = self._meetings.get(meeting_id)
            if meeting is not None:
                meeting.awaited = False
                yield from self._ticks(meeting, meeting_id, now - 1)
                if meeting_id in self._meetings:
                    self._await(meeting_id, meeting)

    def _await(self, meeting_id: str, meeting: _Meeting) -> None:
        """Keep one place a meeting in the queue; it may be early, after entries that put the tick off."""
        at = next_due(meeting.ticks)
        if meeting.clock is Clock.LIVE and at is not None and not meeting.awaited:
            meeting.awaited = True
            heapq.heappush(self._waiting, (at, meeting_id))

    def _is_over(self, entry: Entry) -> bool:
        assert isinstance(entry.payload, Started)  # noqa: S101 - for the type checker
        with self._engine.connect() as connection:
            row = connection.execute(
                text("select status, generation from meetings where id = :id"), {"id": UUID(entry.meeting_id)}
            ).one_or_none()
        return row is None or (row.status in ("ended", "timed_out") and row.generation >= entry.payload.generation)


class _Partition(StatelessSourcePartition[tuple[str, Envelope]]):
    def __init__(self, reader: LaneReader, full: Callable[[], bool], stopping: threading.Event) -> None:
        self._reader, self._full, self._stopping = reader, full, stopping
        self._ahead: queue.Queue[Envelope] = queue.Queue(AHEAD)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="log-reader", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for envelope in self._reader.restore():
                self._put(envelope)
            while not self._stopping.is_set():
                for envelope in self._reader.read(POLL_MS):
                    self._put(envelope)
        except BaseException as error:  # noqa: BLE001 - raised in the dataflow's thread by next_batch
            self._failed = error

    def _put(self, envelope: Envelope) -> None:
        while not self._stopping.is_set():
            try:
                return self._ahead.put(envelope, timeout=0.2)
            except queue.Full:
                continue

    def next_batch(self) -> list[tuple[str, Envelope]]:
        if self._failed is not None:
            raise self._failed
        if self._stopping.is_set():
            raise StopIteration
        batch: list[tuple[str, Envelope]] = []
        if not self._full():
            while len(batch) < HAND:
                try:
                    envelope = self._ahead.get_nowait()
                except queue.Empty:
                    break
                batch.append((envelope.meeting_id, envelope))
        return batch

    def next_awake(self) -> datetime | None:
        return None

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5)


class LaneSource(DynamicSource[tuple[str, Envelope]]):
    """The lane's log as a Bytewax source of `(meeting_id, Envelope)`.

    Args:
        reader: what it reads.
        full: true while the flow must not be given more (a batch lane that waits for its models).
        stopping: set to end the flow.
    """

    def __init__(self, reader: LaneReader, full: Callable[[], bool], stopping: threading.Event) -> None:
        self._partition = (reader, full, stopping)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Partition:
        """The lane's one partition."""
        return _Partition(*self._partition)
