"""Reads a lane's log: the states of open meetings first, then entries, and ticks that turn the passing of time into items.

A meeting yields the same items in a live run, after a crash, in a replay and in any lane. They are its entries in order, each
once, and a tick wherever the meeting was quiet for long enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cachetools import LRUCache
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine

from flows.lane.due_queue import DueQueue
from flows.lane.envelope import Envelope, Failed, Restored
from flows.lane.stateful_step import StatefulStep
from operators.entries import Entry, MeetingEnded, MeetingMoved, MeetingStarted, parse_entry
from operators.errors import IncompatibleStateError, InvalidInputError
from operators.fields import MAX_INSTANT_MS
from operators.meeting_config import Clock
from operators.ticks import TickState, after_entry, due, next_due
from storage.batch_commit.batch_changes import DeadLetter
from storage.postgres.lane_positions import StoredMeeting, adopt_meeting, read_lane_positions, read_meetings
from storage.records import OPEN_STATUSES
from storage.redis_log.lane_stream import LaneStream, parse_stream_id, previous_stream_id

TICKS = TypeAdapter(TickState)
READ_COUNT = 500
"""Entries read from the log at once."""
ARRIVALS_POLL_S = 0.1
"""Seconds between two checks for completed handovers from other lanes."""
MAX_FINISHED = 10_000
"""Meetings remembered as processed already, so that their entries need no query."""


@dataclass(slots=True)
class _OpenMeeting:
    """The reader's position in one open meeting.

    Attributes:
        n: ordinal of its last entry.
        moves: number of its last completed move.
        ticks: its schedule of ticks after that entry.
    """

    team_id: str
    clock: Clock
    n: int
    moves: int
    ticks: TickState


@dataclass(slots=True)
class _ArrivedMeeting:
    """A meeting that was handed over by another lane, and is replayed from this log.

    Attributes:
        begins: the id in this log at which it begins.
        last: the last log id of its replay, once that is complete.
        committed: the log id up to which it is committed.
    """

    begins: str
    last: str | None = None
    committed: str | None = None


def read_positions(engine: Engine, lane_id: str) -> tuple[list[StoredMeeting], str]:
    """Read the lane's open meetings as last committed, and the log id to continue after.

    That is the oldest position of an open meeting, or the lane's own if it is older: a meeting that had timed out may have
    begun again since. While a handover needs entries that are older still, `retain_after` stands in for the lane's own position.

    Returns:
        The open meetings, and the log id (exclusive).
    """
    with engine.connect() as connection:
        log_id, retain_after, meetings = read_lane_positions(connection, lane_id)
    ids = [log_id]
    for meeting in meetings:
        if meeting.log_id is None:
            return meetings, "0-0"
        ids.append(meeting.log_id if meeting.state is not None else previous_stream_id(meeting.log_id))
    # A handover may begin beyond what is committed.
    if retain_after is not None:
        ids.append(retain_after)
    return meetings, min(ids, key=parse_stream_id)


class LaneReader:
    """Turns a lane's log into envelopes: restored states first, then entries and ticks.

    Args:
        reader: reads the lane's stream.
        engine: the database with the committed states.
        lane_id: the lane.
        epoch: of the process that reads.
        stages: the steps whose states are restored.
    """

    def __init__(
        self, reader: LaneStream, engine: Engine, lane_id: str, epoch: int, stages: Sequence[StatefulStep[Any]]
    ) -> None:
        self._reader = reader
        self._engine = engine
        self._lane_id, self._epoch = lane_id, epoch
        self._stages = stages
        self._meetings: dict[str, _OpenMeeting] = {}
        # Meetings with a live clock, by the time of their next tick.
        self._ticks_due = DueQueue()
        # Meetings whose handover to this lane is not complete: where each begins in this log, and the number of the move.
        self._arriving: dict[str, tuple[str, int]] = {}
        # Meetings whose handover is complete, until their whole replay is committed. Before that no row is sure to retain
        # their entries: they may have arrived without a state, or lose it by a timeout.
        self._arrived_meetings: dict[str, _ArrivedMeeting] = {}
        # Meetings that this process could not restore. Their failure may not be committed yet.
        self._failed: set[str] = set()
        self._next_arrivals_poll = 0.0
        self._arrivals_iterator = self._arrivals()
        self._finished = LRUCache[str, tuple[int, int]](MAX_FINISHED)
        self._last_delivered: dict[str, str] = {}
        rows, self._position = read_positions(engine, lane_id)
        self._delivery_position = self._position
        self._restored = [row for row in rows if row.state is not None]

    @property
    def position(self) -> str:
        """The log id up to which everything was read."""
        return self._position

    def oldest_needed(self) -> str | None:
        """The oldest log id that a meeting from another lane still needs; None if there is none."""
        begins = [log_id for log_id, _ in list(self._arriving.values())]
        begins += [arrived.begins for arrived in list(self._arrived_meetings.values())]
        return min(begins, key=parse_stream_id, default=None)

    def on_committed(self, positions: Mapping[str, str]) -> None:
        """Record the log ids up to which meetings are committed. A committed replay is retained by the meeting's row."""
        for meeting_id, log_id in positions.items():
            if (arrived := self._arrived_meetings.get(meeting_id)) is not None:
                arrived.committed = log_id
                self._release_if_committed(meeting_id, arrived)

    def last_delivered(self, meeting_id: str) -> str | None:
        """The log id of a meeting's last delivered envelope; None while it is replayed, and if it isn't open here."""
        arrived = self._arrived_meetings.get(meeting_id)
        return None if arrived is not None and arrived.last is None else self._last_delivered.get(meeting_id)

    def restored_states(self) -> Iterator[Envelope]:
        """Yield each open meeting with a committed state: `Restored`, or `Failed` if the state can't be read."""
        for row in self._restored:
            yield self._restore(row)

    def read(self, block_ms: int) -> list[Envelope]:
        """Read the entries since the last call, then the ticks that are due in meetings with a live clock.

        Ticks are due before the watermark, a time before which every accepted entry was read. If the read reaches the
        log's end, that is Redis' time, taken before the read. Otherwise it is the time of the last entry that was read:
        log ids are in order of time.

        Args:
            block_ms: how long to wait if there is no entry and no due tick.

        Raises:
            FencedError: another process has the lane.
        """
        replayed = list(islice(self._arrivals_iterator, READ_COUNT))
        if len(replayed) == READ_COUNT:
            # The replay of an arrived meeting is finished before new entries are read.
            return replayed
        self._arrivals_iterator = self._arrivals()
        now = self._reader.now_ms()
        entries = self._reader.read(self._position, READ_COUNT, None)
        if not entries and not replayed and not self._ticks_due.has_due(now):
            entries = self._reader.read(self._position, READ_COUNT, block_ms)
        envelopes = replayed + [envelope for log_id, fields in entries for envelope in self._read(log_id, fields)]
        if entries and (not envelopes or envelopes[-1].log_id != self._position):
            # The last entry yields no envelope: this one advances the lane's position past it.
            envelopes.append(Envelope("", "", 0, self._position, None))
        watermark = now if len(entries) < READ_COUNT else parse_stream_id(self._position)[0]
        return envelopes + list(self._due_ticks(watermark))

    def _read(self, log_id: str, fields: dict[str, str]) -> Iterator[Envelope]:
        yield from self._route(log_id, fields)
        self._position = self._delivery_position = log_id

    def _route(self, log_id: str, fields: dict[str, str]) -> Iterator[Envelope]:
        try:
            entry = parse_entry(fields)
        except InvalidInputError as error:
            meeting_id = fields.get("meeting_id") or "?"
            letter = DeadLetter(log_id, str(error), fields, fields.get("team_id"), meeting_id)
            yield Envelope(fields.get("team_id") or "?", meeting_id, 0, log_id, None, dead_letter=letter)
            return
        if entry.meeting_id in self._arriving:
            # The entry is replayed once the handover is complete.
            return
        meeting = self._meetings.get(entry.meeting_id)
        if meeting is None:
            yield from self._entry_of_unlisted(log_id, entry, fields)
        else:
            yield from self._entry_of_open(log_id, entry, meeting)

    def _entry_of_open(self, log_id: str, entry: Entry, meeting: _OpenMeeting) -> Iterator[Envelope]:
        if _already_committed(entry, meeting.n, meeting.moves):
            return
        if isinstance(entry.payload, MeetingMoved):
            # A move does not touch the meeting's clock: its ticks continue in the other lane.
            self._close_meeting(entry.meeting_id)
            yield self._envelope(log_id, entry, meeting.ticks)
            return
        # Ticks that are due by the time of the entry precede it, whatever clock the meeting has.
        yield from self._ticks(meeting, entry.meeting_id, entry.arrived_at)
        meeting.n, meeting.ticks = entry.n, after_entry(meeting.ticks, entry.arrived_at)
        if isinstance(entry.payload, MeetingEnded):
            self._close_meeting(entry.meeting_id)
        else:
            self._meetings[entry.meeting_id] = meeting
            self._last_delivered[entry.meeting_id] = log_id
            self._schedule_tick(entry.meeting_id, meeting)
        yield self._envelope(log_id, entry, meeting.ticks)

    def _envelope(self, log_id: str, entry: Entry, ticks: TickState) -> Envelope:
        return Envelope(entry.team_id, entry.meeting_id, entry.n, log_id, entry, states={"ticks": ticks})

    def _entry_of_unlisted(self, log_id: str, entry: Entry, fields: dict[str, str]) -> Iterator[Envelope]:
        """Process an entry of a meeting that this process does not list as open."""
        if _already_committed(entry, *self._finished.get(entry.meeting_id, (0, 0))):
            return
        row = self._read_meetings([entry.meeting_id]).get(entry.meeting_id)
        is_committed = row is None or _already_committed(entry, row.last_committed, row.moves)
        if row is not None and is_committed and self._is_mine(row) and entry.meeting_id not in self._failed:
            # Another lane completed its handover after this one had read its open meetings. The row's state covers the entry.
            yield self._restore(row)
            return
        if row is None or is_committed:
            # A restarted lane reads entries of meetings that have ended or left: they are committed already.
            self._finished[entry.meeting_id] = (
                (MAX_INSTANT_MS, MAX_INSTANT_MS) if row is None else (row.last_committed, row.moves)
            )
            return
        match entry.payload:
            case MeetingMoved(move=move, lane=lane) if lane == self._lane_id:
                self._arriving[entry.meeting_id] = (log_id, move)
            case MeetingMoved():
                # It had timed out: there is no state to hand over.
                yield Envelope(entry.team_id, entry.meeting_id, entry.n, log_id, entry)
            case MeetingStarted(clock=clock):
                yield from self._adopt_started(row)
                meeting = self._meetings.get(entry.meeting_id)
                meeting = meeting or _OpenMeeting(
                    entry.team_id, clock, entry.n - 1, row.moves, TickState(entry.arrived_at)
                )
                yield from self._entry_of_open(log_id, entry, meeting)
            case _:
                failed = row.status == "failed" or entry.meeting_id in self._failed
                reason = "its meeting failed" if failed else "its meeting is not open"
                letter = DeadLetter(log_id, reason, fields, entry.team_id, entry.meeting_id)
                yield Envelope(entry.team_id, entry.meeting_id, entry.n, log_id, None, dead_letter=letter)
                if failed:
                    self._reader.refuse_all(entry.meeting_id)

    def _adopt_started(self, row: StoredMeeting) -> Iterator[Envelope]:
        """Take over a meeting that the ingest API opened in this log. If its row names another lane, the row is outdated."""
        if row.lane_id != self._lane_id:
            with self._engine.begin() as connection:
                adopt_meeting(connection, self._lane_id, self._epoch, row.id)
            if _is_resumable(row):
                yield self._restore(row)

    def _restore(self, row: StoredMeeting) -> Envelope:
        """Restore a meeting from its row, or fail it if its state can't be read."""
        assert row.state is not None and row.log_id is not None  # noqa: S101, PT018 - callers restore such rows only
        meeting_id = str(row.id)
        try:
            ticks = TICKS.validate_python(row.state["ticks"])
            states = {stage.name: stage.restore(row.state) for stage in self._stages}
        except (IncompatibleStateError, KeyError, ValidationError) as error:
            reason = str(error) if isinstance(error, IncompatibleStateError) else "its state is not whole"
            self._reader.refuse_all(meeting_id)
            self._failed.add(meeting_id)
            failed = Failed(meeting_id, self._reader.now_ms(), reason, row.state)
            return Envelope(row.team_id, meeting_id, row.last_committed, row.log_id, failed)
        self._meetings[meeting_id] = meeting = _OpenMeeting(
            row.team_id, Clock(row.clock), row.last_committed, row.moves, ticks
        )
        self._last_delivered[meeting_id] = row.log_id
        self._schedule_tick(meeting_id, meeting)
        restored = Restored(meeting_id, states)
        return Envelope(row.team_id, meeting_id, row.last_committed, row.log_id, restored, states={"ticks": ticks})

    def _arrivals(self) -> Iterator[Envelope]:
        """Restore the meetings whose handover is complete, and replay what this log holds of them."""
        if not self._arriving or time.monotonic() < self._next_arrivals_poll:
            return
        self._next_arrivals_poll = time.monotonic() + ARRIVALS_POLL_S
        rows = self._read_meetings(list(self._arriving))
        for meeting_id, (begins, move) in list(self._arriving.items()):
            row = rows.get(meeting_id)
            # A failed meeting is never handed over: its entries in this log become dead letters here.
            if row is not None and row.moves < move and row.status != "failed":
                continue
            # Added to one before it is removed from the other: `oldest_needed` must always retain its entries.
            arrived = self._arrived_meetings[meeting_id] = _ArrivedMeeting(begins)
            del self._arriving[meeting_id]
            if row is not None and self._is_mine(row):
                yield self._restore(row)
            last: str | None = None
            for envelope in self._replay_meeting(meeting_id, begins):
                last = envelope.log_id
                yield envelope
            if last is None:
                del self._arrived_meetings[meeting_id]
            else:
                arrived.last = last
                self._release_if_committed(meeting_id, arrived)

    def _replay_meeting(self, meeting_id: str, begins: str) -> Iterator[Envelope]:
        """Replay one meeting's entries, from a log id up to the position that was read."""
        first = last = self._delivery_position = begins
        while page := self._reader.read_range(first, self._position, READ_COUNT):
            for log_id, fields in page:
                if fields.get("meeting_id") != meeting_id:
                    continue
                for envelope in self._route(log_id, fields):
                    last = envelope.log_id
                    yield envelope
                self._delivery_position = log_id
            first = f"({page[-1][0]}"
        self._delivery_position = self._position
        if meeting_id in self._meetings:
            self._last_delivered[meeting_id] = last

    def _release_if_committed(self, meeting_id: str, arrived: _ArrivedMeeting) -> None:
        # Two threads call this, each after it has set the field that the other may be waiting for.
        last, committed = arrived.last, arrived.committed
        is_committed = (
            last is not None and committed is not None and parse_stream_id(committed) >= parse_stream_id(last)
        )
        # The meeting may have left and arrived again meanwhile.
        if is_committed and self._arrived_meetings.get(meeting_id) is arrived:
            self._arrived_meetings.pop(meeting_id, None)

    def _is_mine(self, row: StoredMeeting) -> bool:
        return row.lane_id == self._lane_id and _is_resumable(row)

    def _read_meetings(self, meeting_ids: Sequence[str]) -> dict[str, StoredMeeting]:
        with self._engine.connect() as connection:
            return read_meetings(connection, meeting_ids)

    def _ticks(self, meeting: _OpenMeeting, meeting_id: str, until: int) -> Iterator[Envelope]:
        for tick in due(meeting.ticks, meeting_id, until)[1]:
            meeting.ticks, _ = due(meeting.ticks, meeting_id, tick.at)
            if tick.is_idle:
                self._close_meeting(meeting_id)
            else:
                self._last_delivered[meeting_id] = self._delivery_position
            states = {"ticks": meeting.ticks}
            yield Envelope(meeting.team_id, meeting_id, meeting.n, self._delivery_position, tick, states=states)

    def _due_ticks(self, watermark: int) -> Iterator[Envelope]:
        """Yield the ticks that are due before the watermark (ms), in all meetings with a live clock."""
        for meeting_id in self._ticks_due.pop_due(watermark):
            meeting = self._meetings[meeting_id]
            yield from self._ticks(meeting, meeting_id, watermark - 1)
            if meeting_id in self._meetings:
                self._schedule_tick(meeting_id, meeting)

    def _schedule_tick(self, meeting_id: str, meeting: _OpenMeeting) -> None:
        at = next_due(meeting.ticks)
        if meeting.clock is Clock.LIVE and at is not None:
            self._ticks_due.schedule(meeting_id, at)

    def _close_meeting(self, meeting_id: str) -> None:
        self._meetings.pop(meeting_id, None)
        self._ticks_due.remove(meeting_id)
        self._last_delivered.pop(meeting_id, None)


def _already_committed(entry: Entry, n: int, moves: int) -> bool:
    """Whether a meeting at ordinal `n` and after this many moves has the entry already."""
    return entry.payload.move <= moves if isinstance(entry.payload, MeetingMoved) else entry.n <= n


def _is_resumable(row: StoredMeeting) -> bool:
    return row.status in OPEN_STATUSES and row.state is not None
