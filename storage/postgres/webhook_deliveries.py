"""The delivery log of webhooks: what became of each event at each endpoint, with replays and tests.

The HTTP API describes and returns `Delivery`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict
from sqlalchemy import Select, bindparam, func, insert, select, update
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


EXAMPLE_DELIVERY: JsonDict = {
    "id": 17,
    "event_id": "msg_0198c5f07d1e7a2b8c3d4e5f60718293_42",
    "event_type": "caption.updated",
    "meeting_id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718293",
    "seq": 42,
    "status": "pending",
    "attempts": 2,
    "due_at": "2026-11-30T09:05:06Z",
    "response_code": 503,
    "reason": "HTTP 503 Service Unavailable",
    "created_at": "2026-11-30T09:00:00Z",
    "queued_at": "2026-11-30T09:00:00Z",
    "attempted_at": "2026-11-30T09:00:06Z",
    "ended_at": None,
}
"""A delivery as the HTTP API describes it."""


class Delivery(BaseModel, frozen=True):
    """A delivery of an event to a webhook endpoint.

    Attributes:
        event_id: the header `webhook-id`, the same at each attempt and after a replay.
        meeting_id: the event's meeting; null for a test.
        seq: the event's number in its meeting, as in the stream of live events; null for a test.
        attempts: attempts since it was created or last replayed.
        due_at: when it is attempted next; null if it ended, or waits for its turn.
        response_code: HTTP status of the last answer; null if there was none.
        reason: why the last attempt failed.
        queued_at: when it was created or last replayed.
        attempted_at: when the last attempt began.
        ended_at: when it was accepted or failed.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DELIVERY]})

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


_COLUMNS = [webhook_deliveries.c[name] for name in Delivery.model_fields]
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
# A parameter of an update must not have the name of a column.
_IS_OF_ENDPOINT = (webhook_deliveries.c.team_id == bindparam("of_team")) & (
    webhook_deliveries.c.endpoint_id == bindparam("of_endpoint")
)
_IS_DELIVERY = _IS_OF_ENDPOINT & (webhook_deliveries.c.id == bindparam("delivery_id"))
_SELECT_ID = select(webhook_deliveries.c.id).where(_IS_DELIVERY)
_REPLAY_ONE = (
    update(webhook_deliveries)
    .where(_IS_DELIVERY, webhook_deliveries.c.status != "pending")
    .values(**_REPLAY)
    .returning(*_COLUMNS)
)
_REPLAY_FAILED = (
    update(webhook_deliveries)
    .where(
        _IS_OF_ENDPOINT, webhook_deliveries.c.status == "failed", webhook_deliveries.c.created_at >= bindparam("since")
    )
    .values(**_REPLAY)
)
_INSERT = insert(webhook_deliveries).returning(*_COLUMNS)


async def list_deliveries(
    conn: AsyncConnection,
    team_id: str,
    endpoint_id: UUID,
    *,
    status: DeliveryStatus | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[Delivery]:
    """List the deliveries to an endpoint, newest first.

    Args:
        status: return only deliveries with this status; None for all.
        limit: most deliveries to return.
        before: id of the last delivery of the previous page.
    """
    ids = {"of_team": team_id, "of_endpoint": endpoint_id}
    rows = await conn.execute(_select_page(status, limit, before), ids)
    return [Delivery(**row) for row in rows.mappings()]


def _select_page(status: DeliveryStatus | None, limit: int, before: int | None) -> Select[*tuple[Any, ...]]:
    statement = select(*_COLUMNS).where(_IS_OF_ENDPOINT).order_by(webhook_deliveries.c.id.desc()).limit(limit)
    if status is not None:
        statement = statement.where(webhook_deliveries.c.status == status)
    if before is not None:
        statement = statement.where(webhook_deliveries.c.id < before)
    return statement


async def replay_delivery(conn: AsyncConnection, team_id: str, endpoint_id: UUID, delivery_id: int) -> Delivery:
    """Queue a delivery again that was accepted or failed, before all later ones of its meeting.

    Raises:
        NotFoundError: the team has no such endpoint, or the endpoint no such delivery.
        ConflictError: the endpoint is disabled, or the delivery is pending.
    """
    await require_enabled(conn, team_id, endpoint_id)
    ids = {"of_team": team_id, "of_endpoint": endpoint_id, "delivery_id": delivery_id}
    row = (await conn.execute(_REPLAY_ONE, ids)).mappings().one_or_none()
    if row is None:
        if (await conn.execute(_SELECT_ID, ids)).one_or_none() is None:
            raise NotFoundError(f"the webhook has no delivery {delivery_id}")
        raise ConflictError("pending", "the delivery is pending, so it is attempted without a replay")
    return Delivery(**row)


async def replay_failed(conn: AsyncConnection, team_id: str, endpoint_id: UUID, since: datetime) -> int:
    """Queue all failed deliveries of an endpoint again whose events are not older than a time.

    Returns:
        The number of deliveries.

    Raises:
        NotFoundError: the team has no such endpoint.
        ConflictError: the endpoint is disabled.
    """
    await require_enabled(conn, team_id, endpoint_id)
    values = {"of_team": team_id, "of_endpoint": endpoint_id, "since": since}
    return (await conn.execute(_REPLAY_FAILED, values)).rowcount


async def queue_test(conn: AsyncConnection, team_id: str, endpoint_id: UUID, event_id: str) -> Delivery:
    """Queue a test of an endpoint. It waits for no meeting's events.

    Args:
        event_id: the test's id, which no other event has.

    Raises:
        NotFoundError: the team has no such endpoint.
        ConflictError: the endpoint is disabled.
    """
    await require_enabled(conn, team_id, endpoint_id)
    values = {
        "team_id": team_id,
        "endpoint_id": endpoint_id,
        "queue_id": endpoint_id,
        "event_id": event_id,
        "event_type": TEST_EVENT_TYPE,
    }
    return Delivery(**(await conn.execute(_INSERT, values)).mappings().one())
