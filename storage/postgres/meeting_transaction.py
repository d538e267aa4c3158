"""The meetings that a transaction writes: their new live events and counters, under the locks of their rows.

The locks last until the commit, so a meeting's events are in commit order, and their `seq` has no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from operators.errors import FencedError
from storage.postgres.outbox import write_events
from storage.records import (
    EXPECTED_COUNTERS,
    OPEN_STATUSES,
    MeetingStatus,
    MeetingTransition,
    OutboxEvent,
    OutboxEventKind,
    meeting_transition,
)

_LOCK_MEETINGS = text(
    "select id, team_id, lane_id, status, seq, counters, state is not null as has_state from meetings"
    " where id = any(:ids) order by id for update"
)
_UPDATE_MEETING = text("update meetings set seq = :seq, counters = cast(:counters as jsonb) where id = :id")


@dataclass(slots=True)
class _LockedMeeting:
    """A locked row of a meeting, with the changes of the transaction.

    Attributes:
        was_paused: whether it was paused when it was locked.
        seq: of its last live event.
        has_changes: whether `seq` or the counters changed.
        has_new_problems: whether a counter changed that is not in `EXPECTED_COUNTERS`.
    """

    id: UUID
    team_id: str
    lane_id: str
    status: MeetingStatus
    was_paused: bool
    has_state: bool
    seq: int
    counters: dict[str, int]
    has_changes: bool = False
    has_new_problems: bool = False


class MeetingTransaction:
    """Locks meetings, in the order of their ids, until the transaction ends.

    Args:
        connection: a connection in the transaction.
        meeting_ids: the meetings to lock. Unknown ones are ignored.
    """

    def __init__(self, connection: Connection, meeting_ids: Iterable[str]) -> None:
        self._connection = connection
        rows = connection.execute(_LOCK_MEETINGS, {"ids": [UUID(m) for m in meeting_ids]})
        self._meetings = {
            str(row.id): _LockedMeeting(
                row.id,
                row.team_id,
                row.lane_id,
                row.status,
                was_paused=row.status == "paused",
                has_state=row.has_state,
                seq=row.seq,
                counters=row.counters,
            )
            for row in rows
        }
        self._events: list[OutboxEvent] = []
        self._new_events: list[OutboxEvent] = []

    def active_meeting_ids(self) -> list[str]:
        """Return the locked meetings that have started and aren't over."""
        return [meeting_id for meeting_id, meeting in self._meetings.items() if meeting.status in ("live", "paused")]

    def check_owner(self, meeting_id: str, lane_id: str) -> None:
        """Check that a meeting is on a lane: no other lane may change it.

        Raises:
            FencedError: the meeting is on another lane.
        """
        meeting = self._meetings[meeting_id]
        if meeting.lane_id != lane_id:
            raise FencedError(f"meeting {meeting_id} is on lane {meeting.lane_id}, not on {lane_id}")

    def check_movable_without_state(self, meeting_id: str) -> None:
        """Check that a meeting may move without a state: an open meeting would lose its stored one.

        Raises:
            FencedError: the meeting is open and has a stored state. Its lane restarts, and restores the meeting from it.
        """
        meeting = self._meetings[meeting_id]
        if meeting.status in OPEN_STATUSES and meeting.has_state:
            raise FencedError(f"meeting {meeting_id} is open, and its lane lost its state")

    def emit(self, meeting_id: str, kind: OutboxEventKind, payload: dict[str, Any]) -> None:
        """Add a live event, which takes the meeting's next `seq`."""
        meeting = self._meetings[meeting_id]
        if meeting.was_paused and payload.get("status") == "live":
            # The meeting was paused before its lane read its start, and stays paused.
            return
        transition: MeetingTransition | None = None
        if kind == "status":
            transition = meeting_transition(meeting.status, payload["status"])
            meeting.status = payload["status"]
        meeting.seq += 1
        meeting.has_changes = True
        event = OutboxEvent(meeting.team_id, meeting_id, meeting.seq, kind, payload, transition)
        self._events.append(event)
        self._new_events.append(event)

    def write_new_events(self) -> None:
        """Write the live events so far, before a statement inserts later ones."""
        write_events(self._connection, self._new_events)
        self._new_events.clear()

    def last_seq(self, meeting_id: str) -> int:
        """Return the `seq` of a meeting's last live event, those of this transaction included."""
        return self._meetings[meeting_id].seq

    def add_inserted(self, last_event: OutboxEvent) -> None:
        """Record that a statement inserted live events up to this one. Only this one is returned to be published.

        Subscribers read the events before it from Postgres.
        """
        meeting = self._meetings[last_event.meeting_id]
        meeting.seq, meeting.has_changes = last_event.seq, True
        self._events.append(last_event)

    def emit_status(self, meeting_id: str, **fields: Any) -> None:
        """Add a live event with the meeting's status and further fields."""
        self.emit(meeting_id, "status", {"status": self._meetings[meeting_id].status, **fields})

    def count(self, meeting_id: str, name: str, increment: int = 1) -> None:
        """Add to a meeting's counter. A meeting that isn't locked is ignored."""
        meeting = self._meetings.get(meeting_id)
        if meeting is None:
            return
        meeting.counters[name] = meeting.counters.get(name, 0) + increment
        meeting.has_changes = True
        meeting.has_new_problems |= name not in EXPECTED_COUNTERS

    def emit_counters(self) -> None:
        """Add a live event for each meeting with a changed counter that is not in `EXPECTED_COUNTERS`."""
        for meeting_id, meeting in self._meetings.items():
            if meeting.has_new_problems:
                self.emit_status(meeting_id, counters=meeting.counters)

    def flush(self) -> list[OutboxEvent]:
        """Write the counters and the live events, and return the events."""
        changes = [
            {"id": meeting.id, "seq": meeting.seq, "counters": orjson.dumps(meeting.counters).decode()}
            for meeting in self._meetings.values()
            if meeting.has_changes
        ]
        if changes:
            self._connection.execute(_UPDATE_MEETING, changes)
        self.write_new_events()
        return self._events


def rows_parameter(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Encode rows as the parameter `rows` of a statement that reads them with `jsonb_to_recordset`."""
    return {"rows": orjson.dumps(rows).decode()}
