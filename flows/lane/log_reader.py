"""What a lane reads: each open meeting's state before anything else, then its log, with the ticks that make time data.

Every meeting gets the same items, one for one, live, after a crash, in a replay and on whatever lanes it is: its entries in
order, each once, and a tick wherever it was quiet for long enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, Row, text

from flows.lane.due_queue import DueQueue
from flows.lane.envelope import Envelope, Failed, Restored
from flows.lane.stateful_step import StatefulStep
from operators.errors import Fenced, Invalid, Unreadable
from operators.model import MAX_INSTANT, Clock, Ended, Entry, Moved, Started, parse_entry
from operators.ticks import TickState, after_entry, due, next_due
from storage.changes import DeadLetter
from storage.log import LogReader, before, order
from storage.records import OPEN_STATUSES

TICKS = TypeAdapter(TickState)
READ_COUNT = 500
"""Entries taken from the log at once."""
ARRIVALS_POLL_S = 0.1
"""Seconds between two looks at whether meetings that come from other lanes have arrived."""
MAX_FINISHED = 10_000
"""Meetings of which it is remembered that they have nothing to do here."""

_COLUMNS = "id, team_id, clock, status, lane_id, n, moves, log_id, state"


@dataclass(slots=True)
class _OpenMeeting:
    """Where the source stands in one open meeting."""

    team_id: str
    clock: Clock
    n: int
    moves: int
    ticks: TickState


@dataclass(slots=True)
class _ArrivedMeeting:
    """A meeting that came from another lane.

    Attributes:
        begins: the id in this log at which it begins.
        last: of what the log held of it when it came, the last id that was given out, once all was.
        committed: how far it is committed.
    """

    begins: str
    last: str | None = None
    committed: str | None = None


def read_positions(engine: Engine, lane_id: str) -> tuple[list[Row[Any]], str]:
    """The lane's open meetings as last committed, and the log's id to read on from (exclusive).

    That is the oldest id that an open meeting's state stands at, or what the lane had seen if that is older:
    a meeting that had timed out may have begun again since. What meetings on their way need is held even if it was seen.
    """
    with engine.connect() as connection:
        seen = connection.execute(
            text("select coalesce(held, log_id) from lanes where id = :lane"), {"lane": lane_id}
        ).scalar_one()
        rows = connection.execute(
            text(
                f"select {_COLUMNS} from meetings where lane_id = :lane and status = any(:open) order by id"  # noqa: S608
            ),
            {"lane": lane_id, "open": list(OPEN_STATUSES)},
        ).all()
    if any(row.log_id is None for row in rows):
        return list(rows), "0-0"
    ids = [row.log_id if row.state is not None else before(row.log_id) for row in rows]
    return list(rows), min([seen, *ids], key=order)


class LaneReader:
    """Turns the log of a lane into envelopes: restored states first, then entries and ticks.

    Args:
        reader: the lane's log.
        engine: the database that holds the committed states.
        lane_id: the lane.
        epoch: of the process that reads.
        stages: the steps whose states are restored.
    """

    def __init__(
        self, reader: LogReader, engine: Engine, lane_id: str, epoch: int, stages: Sequence[StatefulStep[Any]]
    ) -> None:
        self._reader = reader
        self._engine = engine
        self._lane_id, self._epoch = lane_id, epoch
        self._stages = stages
        self._meetings: dict[str, _OpenMeeting] = {}
        # Meetings with a live clock, by when the next tick of each is due.
        self._ticks_due = DueQueue()
        # Meetings on their way here from another lane: where in this log each begins, and by which of its moves.
        self._arriving: dict[str, tuple[str, int]] = {}
        # Those that have come, until all that this log held of them by then is committed: before that no row is sure to keep
        # it, for they may have come without a state, or lose it by a timeout in between.
        self._arrived_meetings: dict[str, _ArrivedMeeting] = {}
        # Those that this process could not restore: that they failed may not be committed yet.
        self._failed: set[str] = set()
        self._next_arrivals_poll = 0.0
        self._arrivals_iterator = self._arrivals()
        self._finished: dict[str, tuple[int, int]] = {}
        self._last_delivered: dict[str, str] = {}
        rows, self._position = read_positions(engine, lane_id)
        self._delivery_position = self._position
        self._restored = [row for row in rows if row.state is not None]

    @property
    def position(self) -> str:
        """The log's id up to which everything was read."""
        return self._position

    def oldest_needed(self) -> str | None:
        """The oldest id that a meeting still needs that comes from another lane, if there is one."""
        begins = [log_id for log_id, _ in list(self._arriving.values())]
        begins += [come.begins for come in list(self._arrived_meetings.values())]
        return min(begins, key=order, default=None)

    def on_committed(self, places: Mapping[str, str]) -> None:
        """Take note how far meetings are committed, by id of the log: what has come whole is kept by its row from now on."""
        for meeting_id, place in places.items():
            if (come := self._arrived_meetings.get(meeting_id)) is not None:
                come.committed = place
                self._release_if_committed(meeting_id, come)

    def last_delivered(self, meeting_id: str) -> str | None:
        """The id of the last envelope of a meeting that was given out; None while more is sure to follow."""
        come = self._arrived_meetings.get(meeting_id)
        return None if come is not None and come.last is None else self._last_delivered.get(meeting_id)

    def restored_states(self) -> Iterator[Envelope]:
        """One `Restored` item for each open meeting that has a committed state."""
        for row in self._restored:
            yield self._restore(row)

    def read(self, block_ms: int) -> list[Envelope]:
        """What came since the last call, and then the ticks that are due in meetings with a live clock.

        Redis' time is taken before the log is read. If the read reaches the log's end, nothing that was accepted before
        that time is still to come, so ticks due before it are in their right place. If it doesn't, the same holds for
        the time of the last entry that was read: ids of the log are in order of time.

        Args:
            block_ms: how long to wait where nothing came and nothing is due.

        Raises:
            Fenced: another process has the lane.
        """
        arrived = list(islice(self._arrivals_iterator, READ_COUNT))
        if len(arrived) == READ_COUNT:
            # Nothing new before all is there that the log held of a meeting that arrived.
            return arrived
        self._arrivals_iterator = self._arrivals()
        now = self._reader.now_ms()
        entries = self._reader.read(self._position, READ_COUNT, None)
        if not entries and not arrived and not self._ticks_due.has_due(now):
            entries = self._reader.read(self._position, READ_COUNT, block_ms)
        envelopes = arrived + [envelope for log_id, fields in entries for envelope in self._read(log_id, fields)]
        if entries and (not envelopes or envelopes[-1].log_id != self._position):
            # Nothing here is to be done with what came last: let the lane's own position pass it all the same.
            envelopes.append(Envelope("", "", 0, self._position, None))
        watermark = now if len(entries) < READ_COUNT else order(self._position)[0]
        return envelopes + list(self._due_ticks(watermark))

    def _read(self, log_id: str, fields: dict[str, str]) -> Iterator[Envelope]:
        yield from self._route(log_id, fields)
        self._position = self._delivery_position = log_id

    def _route(self, log_id: str, fields: dict[str, str]) -> Iterator[Envelope]:
        try:
            entry = parse_entry(fields)
        except Invalid as error:
            meeting_id = fields.get("meeting_id") or "?"
            letter = DeadLetter(log_id, str(error), fields, fields.get("team_id"), meeting_id)
            yield Envelope(fields.get("team_id") or "?", meeting_id, 0, log_id, None, dead_letter=letter)
            return
        if entry.meeting_id in self._arriving:
            # It is read again once the meeting has arrived.
            return
        meeting = self._meetings.get(entry.meeting_id)
        if meeting is None:
            yield from self._entry_of_unlisted(log_id, entry, fields)
        else:
            yield from self._entry_of_open(log_id, entry, meeting)

    def _entry_of_open(self, log_id: str, entry: Entry, meeting: _OpenMeeting) -> Iterator[Envelope]:
        if _already_committed(entry, meeting.n, meeting.moves):
            return
        if isinstance(entry.payload, Moved):
            # The clock of a meeting that moves goes on as if nothing had happened.
            self._close_meeting(entry.meeting_id)
            yield self._envelope(log_id, entry, meeting.ticks)
            return
        # Ticks due until the entry come before it, in a meeting with any clock.
        yield from self._ticks(meeting, entry.meeting_id, entry.arrived_at)
        meeting.n, meeting.ticks = entry.n, after_entry(meeting.ticks, entry.arrived_at)
        if isinstance(entry.payload, Ended):
            self._close_meeting(entry.meeting_id)
        else:
            self._meetings[entry.meeting_id] = meeting
            self._last_delivered[entry.meeting_id] = log_id
            self._schedule_tick(entry.meeting_id, meeting)
        yield self._envelope(log_id, entry, meeting.ticks)

    def _envelope(self, log_id: str, entry: Entry, ticks: TickState) -> Envelope:
        return Envelope(entry.team_id, entry.meeting_id, entry.n, log_id, entry, states={"ticks": ticks})

    def _entry_of_unlisted(self, log_id: str, entry: Entry, fields: dict[str, str]) -> Iterator[Envelope]:
        """An entry of a meeting that isn't open here, as far as this process knows."""
        if _already_committed(entry, *self._finished.get(entry.meeting_id, (0, 0))):
            return
        row = self._meeting_rows([entry.meeting_id]).get(entry.meeting_id)
        done = row is None or _already_committed(entry, row.n, row.moves)
        if row is not None and done and self._is_mine(row) and entry.meeting_id not in self._failed:
            # Another lane let go of it between this one's start and now: what led there lies in this log, and was passed.
            yield self._restore(row)
            return
        if row is None or done:
            # A lane that starts again reads past meetings that ended or left meanwhile: theirs is done.
            if len(self._finished) >= MAX_FINISHED:
                self._finished.clear()
            self._finished[entry.meeting_id] = (MAX_INSTANT, MAX_INSTANT) if row is None else (row.n, row.moves)
            return
        match entry.payload:
            case Moved(move=move, lane=lane) if lane == self._lane_id:
                self._arriving[entry.meeting_id] = (log_id, move)
            case Moved():
                # It had timed out: there is nothing to take along.
                yield Envelope(entry.team_id, entry.meeting_id, entry.n, log_id, entry)
            case Started(clock=clock):
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
                    self._reader.fail(entry.meeting_id)

    def _adopt_started(self, row: Row[Any]) -> Iterator[Envelope]:
        """Take a meeting over that the door put here, whatever lane had it: what it says there is behind this."""
        if row.lane_id != self._lane_id:
            with self._engine.begin() as connection:
                taken = connection.execute(
                    text(
                        "update meetings set lane_id = :lane where id = :id"
                        " and exists (select 1 from lanes where id = :lane and epoch = :epoch)"
                    ),
                    {"lane": self._lane_id, "epoch": self._epoch, "id": row.id},
                )
            if taken.rowcount == 0:
                raise Fenced(f"lane {self._lane_id} has been taken over from epoch {self._epoch}")
            if _is_resumable(row):
                yield self._restore(row)

    def _restore(self, row: Row[Any]) -> Envelope:
        """Take a meeting up from its row; fail it where its state can't be read."""
        meeting_id = str(row.id)
        try:
            ticks = TICKS.validate_python(row.state["ticks"])
            states = {stage.name: stage.load(row.state[stage.name]) for stage in self._stages}
        except (Unreadable, KeyError, ValidationError) as error:
            why = str(error) if isinstance(error, Unreadable) else "its state is not whole"
            self._reader.fail(meeting_id)
            self._failed.add(meeting_id)
            failed = Failed(meeting_id, self._reader.now_ms(), why, row.state)
            return Envelope(row.team_id, meeting_id, row.n, row.log_id, failed)
        self._meetings[meeting_id] = meeting = _OpenMeeting(row.team_id, Clock(row.clock), row.n, row.moves, ticks)
        self._last_delivered[meeting_id] = row.log_id
        self._schedule_tick(meeting_id, meeting)
        restored = Restored(meeting_id, states)
        return Envelope(row.team_id, meeting_id, row.n, row.log_id, restored, states={"ticks": ticks})

    def _arrivals(self) -> Iterator[Envelope]:
        """Meetings whose lane has let go of them: their state, and what this log holds of them since."""
        if not self._arriving or time.monotonic() < self._next_arrivals_poll:
            return
        self._next_arrivals_poll = time.monotonic() + ARRIVALS_POLL_S
        rows = self._meeting_rows(list(self._arriving))
        for meeting_id, (begins, move) in list(self._arriving.items()):
            row = rows.get(meeting_id)
            # A meeting that failed is never let go of: what the log holds of it is kept as dead letters here.
            if row is not None and row.moves < move and row.status != "failed":
                continue
            # One after the other: at no time may its entries be trimmed.
            come = self._arrived_meetings[meeting_id] = _ArrivedMeeting(begins)
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
                come.last = last
                self._release_if_committed(meeting_id, come)

    def _replay_meeting(self, meeting_id: str, begins: str) -> Iterator[Envelope]:
        """Read what came of one meeting from an id up to where everything was read."""
        first = last = self._delivery_position = begins
        while page := self._reader.span(first, self._position, READ_COUNT):
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

    def _release_if_committed(self, meeting_id: str, come: _ArrivedMeeting) -> None:
        # Two threads come here, each after it has set what the other may be waiting for.
        whole = come.last is not None and come.committed is not None and order(come.committed) >= order(come.last)
        # It may have left and come back meanwhile.
        if whole and self._arrived_meetings.get(meeting_id) is come:
            self._arrived_meetings.pop(meeting_id, None)

    def _is_mine(self, row: Row[Any]) -> bool:
        return row.lane_id == self._lane_id and _is_resumable(row)

    def _meeting_rows(self, meeting_ids: Sequence[str]) -> dict[str, Row[Any]]:
        with self._engine.connect() as connection:
            rows = connection.execute(
                text(f"select {_COLUMNS} from meetings where id = any(:ids)"),  # noqa: S608
                {"ids": [UUID(meeting_id) for meeting_id in meeting_ids]},
            )
            return {str(row.id): row for row in rows}

    def _ticks(self, meeting: _OpenMeeting, meeting_id: str, until: int) -> Iterator[Envelope]:
        for tick in due(meeting.ticks, meeting_id, until)[1]:
            meeting.ticks, _ = due(meeting.ticks, meeting_id, tick.at)
            if tick.idle:
                self._close_meeting(meeting_id)
            else:
                self._last_delivered[meeting_id] = self._delivery_position
            states = {"ticks": meeting.ticks}
            yield Envelope(meeting.team_id, meeting_id, meeting.n, self._delivery_position, tick, states=states)

    def _due_ticks(self, watermark: int) -> Iterator[Envelope]:
        """The ticks of all meetings that are due before a time (ms) up to which every entry was read."""
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
    """Whether a meeting that has come as far as this has the entry."""
    return entry.payload.move <= moves if isinstance(entry.payload, Moved) else entry.n <= n


def _is_resumable(row: Row[Any]) -> bool:
    return row.status in OPEN_STATUSES and row.state is not None
