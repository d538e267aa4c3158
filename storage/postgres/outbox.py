"""The outbox: committed live events, to be published after the commit, and the webhook deliveries that they cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.webhooks.event_types import WebhookEventType
from storage.postgres.tables import outbox
from storage.records import OutboxEvent

SELECT_EVENTS_AFTER = (
    select(outbox.c.team_id, outbox.c.seq, outbox.c.kind, outbox.c.payload)
    .where(outbox.c.meeting_id == bindparam("meeting_id"), outbox.c.seq > bindparam("after"))
    .order_by(outbox.c.seq)
    .limit(bindparam("limit"))
)
"""Selects a meeting's events after a `seq`, in order, at most `limit`."""
_SELECT_RECENT = text(
    "select seq, kind, payload, extract(epoch from now() - created_at)::float as age from outbox"
    " where team_id = :team_id and meeting_id = :meeting_id and created_at > now() - :seconds * interval '1 s' order by seq"
)
_LAST_SEQS = text(
    "select meeting_id, max(seq) from outbox where created_at > now() - :minutes * interval '1 minute' group by meeting_id"
)
_INSERT_EVENTS = text(
    # An event and its deliveries are one statement, so no event can be committed without them.
    "with rows as (select * from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(team_id text, meeting_id uuid, seq bigint, kind text, payload jsonb, event_type text)),"
    " inserted as (insert into outbox (team_id, meeting_id, seq, kind, payload)"
    " select team_id, meeting_id, seq, kind, payload from rows returning meeting_id)"
    " insert into webhook_deliveries (team_id, endpoint_id, queue_id, meeting_id, seq, event_id, event_type)"
    " select r.team_id, e.id, r.meeting_id, r.meeting_id, r.seq,"
    " 'msg_' || replace(cast(r.meeting_id as text), '-', '') || '_' || r.seq, r.event_type"
    " from rows r join webhook_endpoints e on e.team_id = r.team_id and e.enabled and r.event_type = any(e.event_types)"
    " order by r.meeting_id, r.seq"
)


def write_events(connection: Connection, events: Sequence[OutboxEvent]) -> None:
    """Write live events, and a delivery of each to every enabled webhook endpoint that selects its type.

    Args:
        connection: a connection in a transaction that has locked the events' meetings.
        events: the events, each meeting's in order.
    """
    if events:
        rows = [
            {
                "team_id": event.team_id,
                "meeting_id": event.meeting_id,
                "seq": event.seq,
                "kind": event.kind,
                "payload": event.payload,
                "event_type": _webhook_event_type(event),
            }
            for event in events
        ]
        connection.execute(_INSERT_EVENTS, {"rows": orjson.dumps(rows).decode()})


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """A live event of the last seconds. `age_s` is the time since its commit, in seconds."""

    seq: int
    kind: str
    payload: dict[str, Any]
    age_s: float


async def read_recent_events(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, seconds: float
) -> list[RecentEvent]:
    """Read a meeting's live events of the last seconds, in order."""
    rows = await conn.execute(_SELECT_RECENT, {"team_id": team_id, "meeting_id": meeting_id, "seconds": seconds})
    return [RecentEvent(*row) for row in rows]


def _webhook_event_type(event: OutboxEvent) -> WebhookEventType | None:
    """Return the type under which webhooks report a live event; None if they don't."""
    match event.kind:
        case "sentence":
            return "sentence.updated"
        case "retracted":
            return "sentence.retracted"
        case "caption":
            return "caption.updated"
        case "note":
            return "note.updated"
        case "status":
            match event.transition:
                case "started":
                    return "meeting.started"
                case "ended":
                    return "meeting.ended"
                case None:
                    return None


def read_last_seqs(connection: Connection, minutes: float) -> dict[str, int]:
    """Read the last `seq` of each meeting with events of the last minutes."""
    rows = connection.execute(_LAST_SEQS, {"minutes": minutes}).tuples()
    return {str(meeting_id): seq for meeting_id, seq in rows}


def read_events(connection: Connection, meeting_id: str, after: int, limit: int) -> list[OutboxEvent]:
    """Read a meeting's events after a `seq`, in order, at most `limit`."""
    rows = connection.execute(SELECT_EVENTS_AFTER, {"meeting_id": UUID(meeting_id), "after": after, "limit": limit})
    return [OutboxEvent(row.team_id, meeting_id, row.seq, row.kind, row.payload) for row in rows]
