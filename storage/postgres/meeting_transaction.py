"""The meetings that a transaction writes: their new live events and counters, under the locks of their rows.

The locks last until the commit, so a meeting's events are in commit order, and their `seq` has no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from operators.errors import FencedError
from storage.records import EXPECTED_COUNTERS, OPEN_STATUSES, OutboxEvent, OutboxEventKind

_LOCK_MEETINGS = text(
    "select id, team_id, lane_id, status, seq, counters, state is not null as has_state from meetings"
    " where id = any(:ids) order by id for update"
)
_UPDATE_MEETING = text("update meetings set seq = :seq, counters = cast(:counters as jsonb) where id = :id")
_INSERT_EVENTS = text(
    "insert into outbox (team_id, meeting_id, seq, kind, payload)"
    " select * from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(team_id text, meeting_id uuid, seq bigint, kind text, payload jsonb)"
)


class MeetingTransaction:
    """Locks meetings, in the order of their ids, until the transaction ends.

    Args:
        connection: a connection in the transaction.
        meeting_ids: the meetings to lock. Unknown ones are ignored.
    """

    def __init__(self, connection: Connection, meeting_ids: Iterable[str]) -> None:
        self._connection = connection
        rows = connection.execute(
            _LOCK_MEETINGS,
            {"ids": [UUID(m) for m in meeting_ids]},
        )
        self._last_seqs: dict[str, int] = {}
        self._team_ids: dict[str, str] = {}
        self._lane_ids: dict[str, str] = {}
        self._counters: dict[str, dict[str, int]] = {}
        self._statuses: dict[str, str] = {}
        self._with_unexpected_counts: set[str] = set()
        self._paused_ids: set[str] = set()
        self._with_state: set[str] = set()
        for row in rows:
            if row.has_state:
                self._with_state.add(str(row.id))
            if row.status == "paused":
                self._paused_ids.add(str(row.id))
            self._statuses[str(row.id)] = row.status
            self._last_seqs[str(row.id)], self._team_ids[str(row.id)] = row.seq, row.team_id
            self._counters[str(row.id)], self._lane_ids[str(row.id)] = row.counters, row.lane_id
        self._changed_ids: set[str] = set()
        self._events: list[OutboxEvent] = []

    def active_meeting_ids(self) -> list[str]:
        """Return the locked meetings that have started and aren't over."""
        return [meeting_id for meeting_id, status in self._statuses.items() if status in ("live", "paused")]

    def check_owner(self, meeting_id: str, lane_id: str) -> None:
        """Check that a meeting is on a lane: no other lane may change it.

        Raises:
            FencedError: the meeting is on another lane.
        """
        if self._lane_ids[meeting_id] != lane_id:
            raise FencedError(f"meeting {meeting_id} is on lane {self._lane_ids[meeting_id]}, not on {lane_id}")

    def check_movable_without_state(self, meeting_id: str) -> None:
        """Check that a meeting may move without a state: an open meeting would lose its stored one.

        Raises:
            FencedError: the meeting is open and has a stored state. Its lane restarts, and restores the meeting from it.
        """
        if self._statuses[meeting_id] in OPEN_STATUSES and meeting_id in self._with_state:
            raise FencedError(f"meeting {meeting_id} is open, and its lane lost its state")

    def emit(self, meeting_id: str, kind: OutboxEventKind, payload: dict[str, Any]) -> None:
        """Add a live event, which takes the meeting's next `seq`."""
        if meeting_id in self._paused_ids and payload.get("status") == "live":
            # The meeting was paused before its lane read its start, and stays paused.
            return
        if kind == "status":
            self._statuses[meeting_id] = payload["status"]
        self._last_seqs[meeting_id] += 1
        self._changed_ids.add(meeting_id)
        self._events.append(
            OutboxEvent(self._team_ids[meeting_id], meeting_id, self._last_seqs[meeting_id], kind, payload)
        )

    def emit_status(self, meeting_id: str, **fields: Any) -> None:
        """Add a live event with the meeting's status and further fields."""
        self.emit(meeting_id, "status", {"status": self._statuses[meeting_id], **fields})

    def count(self, meeting_id: str, name: str, increment: int = 1) -> None:
        """Add to a meeting's counter. A meeting that isn't locked is ignored."""
        if meeting_id not in self._counters:
            return
        counters = self._counters[meeting_id]
        counters[name] = counters.get(name, 0) + increment
        self._changed_ids.add(meeting_id)
        if name not in EXPECTED_COUNTERS:
            self._with_unexpected_counts.add(meeting_id)

    def emit_counters(self) -> None:
        """Add a live event for each meeting with a changed counter that is not in `EXPECTED_COUNTERS`."""
        for meeting_id in sorted(self._with_unexpected_counts):
            self.emit_status(meeting_id, counters=self._counters[meeting_id])

    def flush(self) -> list[OutboxEvent]:
        """Write the counters and the live events, and return the events."""
        if self._changed_ids:
            self._connection.execute(
                _UPDATE_MEETING,
                [
                    {"id": UUID(m), "seq": self._last_seqs[m], "counters": orjson.dumps(self._counters[m]).decode()}
                    for m in self._changed_ids
                ],
            )
        if self._events:
            self._connection.execute(
                _INSERT_EVENTS,
                {"rows": orjson.dumps(self._events).decode()},
            )
        return self._events


def rows_parameter(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Encode rows as the parameter `rows` of a statement that reads them with `jsonb_to_recordset`."""
    return {"rows": orjson.dumps(rows).decode()}
