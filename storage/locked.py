"""The meetings that a transaction writes: each one's next live events and its counters, under the lock of its row.

The lock is held until the commit: so the events of a meeting are in commit order, and their `seq` has no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from operators.errors import Fenced
from storage.records import OPEN_STATUSES, PLAIN_COUNTERS, Event, EventKind


class LockedMeetings:
    """Locks meetings, in the order of their ids, until the transaction ends.

    Args:
        connection: in the transaction.
        meeting_ids: the meetings.
    """

    def __init__(self, connection: Connection, meeting_ids: Iterable[str]) -> None:
        self._connection = connection
        rows = connection.execute(
            text(
                "select id, team_id, lane_id, status, seq, counters, state is not null as stands from meetings where id = any(:ids)"
                " order by id for update"
            ),
            {"ids": [UUID(m) for m in meeting_ids]},
        )
        self._seq: dict[str, int] = {}
        self._team: dict[str, str] = {}
        self._lane: dict[str, str] = {}
        self._counters: dict[str, dict[str, int]] = {}
        self._status: dict[str, str] = {}
        self._troubled: set[str] = set()
        self._paused: set[str] = set()
        self._stands: set[str] = set()
        for row in rows:
            if row.stands:
                self._stands.add(str(row.id))
            if row.status == "paused":
                self._paused.add(str(row.id))
            self._status[str(row.id)] = row.status
            self._seq[str(row.id)], self._team[str(row.id)] = row.seq, row.team_id
            self._counters[str(row.id)], self._lane[str(row.id)] = row.counters, row.lane_id
        self._changed: set[str] = set()
        self._events: list[Event] = []

    def going_on(self) -> list[str]:
        """Those that have begun and aren't over, now that nobody else can change that."""
        return [meeting_id for meeting_id, status in self._status.items() if status in ("live", "paused")]

    def check_owner(self, meeting_id: str, lane_id: str) -> None:
        """Only the lane that a meeting is on may say how it goes on.

        Raises:
            Fenced: it is on another one.
        """
        if self._lane[meeting_id] != lane_id:
            raise Fenced(f"meeting {meeting_id} is on lane {self._lane[meeting_id]}, not on {lane_id}")

    def check_over(self, meeting_id: str) -> None:
        """Only a meeting that does not go on may move without a state: it would be lost otherwise.

        Raises:
            Fenced: it goes on, from the state in its row. Its lane, which lost sight of it, starts again and takes it up.
        """
        if self._status[meeting_id] in OPEN_STATUSES and meeting_id in self._stands:
            raise Fenced(f"meeting {meeting_id} goes on, and its lane lost sight of it")

    def event(self, meeting_id: str, kind: EventKind, payload: dict[str, Any]) -> None:
        """A live event, which takes the meeting's next `seq`."""
        if meeting_id in self._paused and payload.get("status") == "live":
            # It was paused before its lane saw it begin, and stays so.
            return
        if kind == "status":
            self._status[meeting_id] = payload["status"]
        self._seq[meeting_id] += 1
        self._changed.add(meeting_id)
        self._events.append(Event(self._team[meeting_id], meeting_id, self._seq[meeting_id], kind, payload))

    def tell(self, meeting_id: str, **more: Any) -> None:
        """A live event of how the meeting stands, and of something beside that."""
        self.event(meeting_id, "status", {"status": self._status[meeting_id], **more})

    def count(self, meeting_id: str, name: str, by: int = 1) -> None:
        """Count something; what belongs to no meeting has its own rows."""
        if meeting_id not in self._counters:
            return
        counters = self._counters[meeting_id]
        counters[name] = counters.get(name, 0) + by
        self._changed.add(meeting_id)
        if name not in PLAIN_COUNTERS:
            self._troubled.add(meeting_id)

    def tell_counters(self) -> None:
        """A live event for each meeting of which something was counted that is not as it should be."""
        for meeting_id in sorted(self._troubled):
            self.tell(meeting_id, counters=self._counters[meeting_id])

    def close(self) -> list[Event]:
        """Write the counters and the live events, and give the events."""
        if self._changed:
            self._connection.execute(
                text("update meetings set seq = :seq, counters = cast(:counters as jsonb) where id = :id"),
                [
                    {"id": UUID(m), "seq": self._seq[m], "counters": orjson.dumps(self._counters[m]).decode()}
                    for m in self._changed
                ],
            )
        if self._events:
            self._connection.execute(
                text(
                    "insert into outbox (team_id, meeting_id, seq, kind, payload)"
                    " select * from jsonb_to_recordset(cast(:rows as jsonb))"
                    " as r(team_id text, meeting_id uuid, seq bigint, kind text, payload jsonb)"
                ),
                {"rows": orjson.dumps(self._events).decode()},
            )
        return self._events


def json_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Rows as the one parameter `rows` of a statement that reads them with `jsonb_to_recordset`."""
    return {"rows": orjson.dumps(rows).decode()}
