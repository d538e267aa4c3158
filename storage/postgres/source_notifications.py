"""The webhooks that sources sent: each is stored when it arrives, and processed afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

RETENTION_DAYS = 30
"""Days that a processed webhook is kept, to recognise a repeated delivery."""

_ADD = text(
    "insert into source_notifications (id, team_id, source, digest, event, external_id)"
    " values (:id, :team_id, :source, :digest, :event, :external_id)"
    " on conflict (team_id, source, digest) do nothing returning id"
)
_DUE = text(
    "select id, team_id, event, external_id, created_at as received_at, due_at > created_at as is_postponed"
    " from source_notifications"
    " where outcome is null and due_at <= now() and source = :source order by due_at, id limit :limit"
)
_SET_OUTCOME = text("update source_notifications set outcome = :outcome where id = :id")
_POSTPONE = text(
    "update source_notifications set due_at = now() + make_interval(secs => cast(:seconds as double precision))"
    " where id = :id"
)
_DELETE_OLD = text(
    "delete from source_notifications where outcome is not null"
    " and created_at < now() - make_interval(days => cast(:days as integer))"
)


@dataclass(frozen=True, slots=True)
class SourceNotification:
    """A webhook that waits to be processed.

    Attributes:
        event: the source's name of the event.
        external_id: the source's own id of the meeting.
        received_at: when it arrived.
        is_postponed: whether it was tried before.
    """

    id: UUID
    team_id: str
    event: str
    external_id: str
    received_at: datetime
    is_postponed: bool


async def add_notification(
    conn: AsyncConnection, *, team_id: str, source: str, digest: str, event: str, external_id: str
) -> bool:
    """Store a webhook that arrived.

    Args:
        digest: hash of its body.

    Returns:
        Whether it is new; False for a repeated delivery.
    """
    values = {
        "id": UUID(bytes=uuid7().bytes),
        "team_id": team_id,
        "source": source,
        "digest": digest,
        "event": event,
        "external_id": external_id,
    }
    return (await conn.execute(_ADD, values)).one_or_none() is not None


async def list_due_notifications(conn: AsyncConnection, source: str, limit: int) -> Sequence[SourceNotification]:
    """List the webhooks of a source that wait, oldest first."""
    rows = (await conn.execute(_DUE, {"source": source, "limit": limit})).mappings()
    return [SourceNotification(**row) for row in rows]


async def store_outcome(conn: AsyncConnection, notification_id: UUID, outcome: str) -> None:
    """Store what followed from a webhook, in words for the user. Delete webhooks that are too old."""
    await conn.execute(_SET_OUTCOME, {"id": notification_id, "outcome": outcome})
    await conn.execute(_DELETE_OLD, {"days": RETENTION_DAYS})


async def postpone_notification(conn: AsyncConnection, notification_id: UUID, seconds: float) -> None:
    """Process a webhook later, in so many seconds."""
    await conn.execute(_POSTPONE, {"id": notification_id, "seconds": seconds})
