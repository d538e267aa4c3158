"""The queues of webhook deliveries, one for each meeting and endpoint, as their sender takes from them.

Only a queue's first pending delivery can be taken. So a delivery is attempted after the one before it was accepted or given
up. The taken one is due again at a later time, in case its sender dies. No other sender takes it before that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.webhooks.event_types import WebhookEventType
from operators.webhooks.payload import event_data, webhook_body
from storage.postgres.webhook_endpoints import disable_endpoint, fail_pending

CLEANUP_BATCH = 5_000
"""Most rows that one cleanup removes."""

# A loose index scan: one step for each queue, however long the queues are.
_DUE_QUEUES = text(
    "with recursive heads as ("
    " (select endpoint_id, queue_id, due_at from webhook_deliveries where status = 'pending'"
    " order by endpoint_id, queue_id, id limit 1)"
    " union all select n.endpoint_id, n.queue_id, n.due_at from heads h cross join lateral ("
    " select d.endpoint_id, d.queue_id, d.due_at from webhook_deliveries d where d.status = 'pending'"
    " and (d.endpoint_id, d.queue_id) > (h.endpoint_id, h.queue_id)"
    " order by d.endpoint_id, d.queue_id, d.id limit 1) n)"
    " select endpoint_id, queue_id from heads where due_at is null or due_at <= :now"
)
_TAKE = text(
    "with taken as (update webhook_deliveries d set due_at = :lost_at, attempts = d.attempts + 1, attempted_at = :now"
    " where d.id = (select id from webhook_deliveries where endpoint_id = :endpoint_id and queue_id = :queue_id"
    " and status = 'pending' order by id limit 1)"
    " and d.status = 'pending' and (d.due_at is null or d.due_at <= :now)"
    " returning d.id, d.endpoint_id, d.meeting_id, d.seq, d.event_id, d.event_type, d.attempts, d.failures,"
    " d.created_at, d.queued_at)"
    " select t.id, t.endpoint_id, t.seq, t.event_id, t.event_type, t.attempts, t.failures, t.queued_at,"
    " coalesce(o.created_at, t.created_at) as occurred_at,"
    " o.payload, t.meeting_id, m.external_id, m.title, e.url, e.enabled, e.secret,"
    " case when e.previous_secret_expires_at > :now then e.previous_secret end as previous_secret"
    " from taken t join webhook_endpoints e on e.id = t.endpoint_id"
    " left join outbox o on o.meeting_id = t.meeting_id and o.seq = t.seq left join meetings m on m.id = t.meeting_id"
)
# An answer counts even if the endpoint was disabled meanwhile. `attempts` differs if a lost attempt was repeated.
_ACCEPT = text(
    "update webhook_deliveries set status = 'accepted', due_at = null, ended_at = :now, response_code = :code,"
    " reason = null where id = :id and attempts = :attempts"
)
_RETRY = text(
    "update webhook_deliveries set due_at = :due_at, failures = failures + 1, response_code = :code, reason = :reason"
    " where id = :id and attempts = :attempts and status = 'pending'"
)
_GIVE_UP = text(
    "update webhook_deliveries set status = 'failed', due_at = null, ended_at = :now, response_code = :code,"
    " reason = :reason where id = :id and attempts = :attempts and status = 'pending'"
)
_REMOVE_OLD = text(
    "delete from webhook_deliveries where id in (select id from webhook_deliveries where ended_at < :before"
    " order by ended_at limit :limit)"
)


class Queue(NamedTuple):
    """The queue of an endpoint's deliveries for one meeting, or of its tests."""

    endpoint_id: UUID
    queue_id: UUID


@dataclass(frozen=True, slots=True)
class TakenDelivery:
    """A delivery that its sender attempts now.

    Attributes:
        attempts: number of attempts, with this one and those that a crash interrupted.
        failures: number of attempts that failed.
        queued_at: when it was created or last replayed.
        enabled: whether its endpoint is enabled.
        body: the request's body.
        secrets: the encrypted secrets that sign it.
    """

    id: int
    endpoint_id: UUID
    event_id: str
    attempts: int
    failures: int
    queued_at: datetime
    url: str
    enabled: bool
    body: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


async def find_due_queues(conn: AsyncConnection, now: datetime) -> list[Queue]:
    """Find the queues whose first delivery is due."""
    return [Queue(*row) for row in await conn.execute(_DUE_QUEUES, {"now": now})]


async def take_delivery(conn: AsyncConnection, queue: Queue, now: datetime, lost_at: datetime) -> TakenDelivery | None:
    """Take a queue's first delivery, and count an attempt.

    Args:
        queue: the queue.
        now: the current time.
        lost_at: when another sender may take it, because this one must have died.

    Returns:
        The delivery; None if the queue is empty, or if its first delivery is not due.
    """
    parameters = {**queue._asdict(), "now": now, "lost_at": lost_at}
    row = (await conn.execute(_TAKE, parameters)).one_or_none()
    if row is None:
        return None
    event_type: WebhookEventType = row.event_type
    meeting = {
        "meeting_id": None if row.meeting_id is None else str(row.meeting_id),
        "external_id": row.external_id,
        "title": row.title,
    }
    return TakenDelivery(
        id=row.id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        attempts=row.attempts,
        failures=row.failures,
        queued_at=row.queued_at,
        url=row.url,
        enabled=row.enabled,
        body=webhook_body(event_type, row.occurred_at, event_data(event_type, meeting, row.seq, row.payload)),
        secrets=(row.secret,) if row.previous_secret is None else (row.secret, row.previous_secret),
    )


async def accept_delivery(conn: AsyncConnection, delivery: TakenDelivery, now: datetime, code: int) -> None:
    """Record that the receiver accepted a delivery.

    Args:
        code: the HTTP status of its answer.
    """
    await conn.execute(_ACCEPT, _outcome(delivery, code) | {"now": now})


async def retry_delivery(
    conn: AsyncConnection, delivery: TakenDelivery, due_at: datetime, code: int | None, reason: str
) -> None:
    """Record that an attempt failed.

    Args:
        due_at: when to attempt it again.
        code: the HTTP status of the answer; None if there was none.
        reason: why it failed.
    """
    await conn.execute(_RETRY, _outcome(delivery, code) | {"due_at": due_at, "reason": reason})


async def give_up_delivery(
    conn: AsyncConnection, delivery: TakenDelivery, now: datetime, code: int | None, reason: str
) -> None:
    """Record that a delivery failed for good. It can be replayed.

    Args:
        code: the HTTP status of the last answer; None if there was none.
        reason: why the last attempt failed.
    """
    await conn.execute(_GIVE_UP, _outcome(delivery, code) | {"now": now, "reason": reason})


async def refuse_deliveries(
    conn: AsyncConnection, delivery: TakenDelivery, now: datetime, code: int, reason: str
) -> None:
    """Record that the receiver wants no more deliveries: disable the endpoint. All its pending deliveries fail."""
    # The endpoint first, in the order of all transactions that lock both.
    await disable_endpoint(conn, delivery.endpoint_id, reason)
    await give_up_delivery(conn, delivery, now, code, reason)
    await fail_pending(conn, delivery.endpoint_id)


async def remove_old_deliveries(conn: AsyncConnection, before: datetime) -> int:
    """Remove deliveries that ended before a time, at most `CLEANUP_BATCH`, and return their number."""
    return (await conn.execute(_REMOVE_OLD, {"before": before, "limit": CLEANUP_BATCH})).rowcount


def _outcome(delivery: TakenDelivery, code: int | None) -> dict[str, Any]:
    return {"id": delivery.id, "attempts": delivery.attempts, "code": code}
