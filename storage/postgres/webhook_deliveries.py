"""The delivery log of webhooks: what became of each event at each endpoint, with replays and tests."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import ConflictError, NotFoundError
from operators.webhooks.event_types import TEST_EVENT_TYPE, WebhookEventType
from storage.postgres.tables import webhook_deliveries
from storage.postgres.webhook_endpoints import require_enabled

DeliveryStatus = Literal["pending", "accepted", "failed"]
"""Status of a delivery.

- `pending`: it waits for its turn, or for its next attempt.
- `accepted`: the receiver answered with a 2xx status.
- `failed`: it was given up after a day, or its endpoint was disabled. It can be replayed.
"""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery of an event to an endpoint.

    Attributes:
        event_id: the header `webhook-id`, the same at each attempt and after a replay.
        meeting_id, seq: the event's meeting, and its number there; None for a test.
        attempts: attempts since it was created or last replayed.
        due_at: when it is attempted next; None if it ended, or waits for its turn.
        response_code: HTTP status of the last answer; None if there was none.
        reason: why the last attempt failed.
        queued_at: when it was created or last replayed.
        attempted_at: when the last attempt began.
        ended_at: when it was accepted or failed.
    """

    id: int
    event_id: str
    event_type: WebhookEventType
    meeting_id: UUID | None
    seq: int | None
    status: DeliveryStatus
    attempts: int
    due_at: datetime | None
    response_code: int | None
    reason: str | None
    created_at: datetime
    queued_at: datetime
    attempted_at: datetime | None
    ended_at: datetime | None


_COLUMNS = [webhook_deliveries.c[field.name] for field in fields(DeliveryRecord)]
_REPLAY = {
    "status": "pending",
    "attempts": 0,
    "failures": 0,
    "due_at": None,
    "response_code": None,
    "reason": None,
    "queued_at": func.now(),
    "attempted_at": None,
    "ended_at": None,
}
"""The values of a delivery that is replayed."""


async def list_deliveries(
    conn: AsyncConnection,
    team_id: str,
    endpoint_id: UUID,
    *,
    status: DeliveryStatus | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[DeliveryRecord]:
    """List the deliveries to an endpoint, newest first.

    Args:
        status: return only deliveries with this status; None for all.
        limit: most deliveries to return.
        before: id of the last delivery of the previous page.
    """
    statement = (
        select(*_COLUMNS)
        .where(_of_endpoint(team_id, endpoint_id))
        .order_by(webhook_deliveries.c.id.desc())
        .limit(limit)
    )
    if status is not None:
        statement = statement.where(webhook_deliveries.c.status == status)
    if before is not None:
        statement = statement.where(webhook_deliveries.c.id < before)
    return [DeliveryRecord(**row) for row in (await conn.execute(statement)).mappings()]


async def replay_delivery(conn: AsyncConnection, team_id: str, endpoint_id: UUID, delivery_id: int) -> DeliveryRecord:
    """Queue a delivery again that was accepted or failed, before all later ones of its meeting.

    Raises:
        NotFoundError: the team has no such endpoint, or the endpoint no such delivery.
        ConflictError: the endpoint is disabled, or the delivery is pending.
    """
    await require_enabled(conn, team_id, endpoint_id)
    condition = _of_endpoint(team_id, endpoint_id) & (webhook_deliveries.c.id == delivery_id)
    statement = update(webhook_deliveries).where(condition, webhook_deliveries.c.status != "pending").values(**_REPLAY)
    row = (await conn.execute(statement.returning(*_COLUMNS))).mappings().one_or_none()
    if row is None:
        if (await conn.execute(select(webhook_deliveries.c.id).where(condition))).one_or_none() is None:
            raise NotFoundError(f"the webhook has no delivery {delivery_id}")
        raise ConflictError("pending", "the delivery is pending, so it is attempted without a replay")
    return DeliveryRecord(**row)


async def replay_failed(conn: AsyncConnection, team_id: str, endpoint_id: UUID, since: datetime) -> int:
    """Queue all failed deliveries of an endpoint again whose events are not older than a time.

    Returns:
        The number of deliveries.

    Raises:
        NotFoundError: the team has no such endpoint.
        ConflictError: the endpoint is disabled.
    """
    await require_enabled(conn, team_id, endpoint_id)
    condition = _of_endpoint(team_id, endpoint_id) & (webhook_deliveries.c.status == "failed")
    statement = update(webhook_deliveries).where(condition, webhook_deliveries.c.created_at >= since)
    return (await conn.execute(statement.values(**_REPLAY))).rowcount


async def queue_test(conn: AsyncConnection, team_id: str, endpoint_id: UUID, event_id: str) -> DeliveryRecord:
    """Queue a test of an endpoint. It waits for no meeting's events.

    Args:
        event_id: the test's id, which no other event has.

    Raises:
        NotFoundError: the team has no such endpoint.
        ConflictError: the endpoint is disabled.
    """
    await require_enabled(conn, team_id, endpoint_id)
    statement = insert(webhook_deliveries).values(
        team_id=team_id, endpoint_id=endpoint_id, queue_id=endpoint_id, event_id=event_id, event_type=TEST_EVENT_TYPE
    )
    return DeliveryRecord(**(await conn.execute(statement.returning(*_COLUMNS))).mappings().one())


def _of_endpoint(team_id: str, endpoint_id: UUID) -> ColumnElement[bool]:
    return (webhook_deliveries.c.team_id == team_id) & (webhook_deliveries.c.endpoint_id == endpoint_id)
