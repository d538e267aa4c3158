"""The outbox: committed live events, to be published after the commit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, select, text

from storage.postgres.tables import outbox
from storage.records import OutboxEvent

_LAST_SEQS = text(
    "select meeting_id, max(seq) from outbox where created_at > now() - :minutes * interval '1 minute' group by meeting_id"
)


def select_events(meeting_id: UUID, after: int, limit: int) -> Select[Any, Any, Any, Any]:
    """Select a meeting's events after a `seq`, in order, at most `limit`."""
    return (
        select(outbox.c.team_id, outbox.c.seq, outbox.c.kind, outbox.c.payload)
        .where(outbox.c.meeting_id == meeting_id, outbox.c.seq > after)
        .order_by(outbox.c.seq)
        .limit(limit)
    )


def read_last_seqs(connection: Connection, minutes: float) -> dict[str, int]:
    """Read the last `seq` of each meeting with events of the last minutes."""
    rows = connection.execute(_LAST_SEQS, {"minutes": minutes}).tuples()
    return {str(meeting_id): seq for meeting_id, seq in rows}


def read_events(connection: Connection, meeting_id: str, after: int, limit: int) -> list[OutboxEvent]:
    """Read a meeting's events after a `seq`, in order, at most `limit`."""
    rows = connection.execute(select_events(UUID(meeting_id), after, limit))
    return [OutboxEvent(row.team_id, meeting_id, row.seq, row.kind, row.payload) for row in rows]
