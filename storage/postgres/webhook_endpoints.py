"""Webhook endpoints: the receivers of events, with their encrypted secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import ConflictError, NotFoundError
from operators.webhooks.event_types import SubscribableEventType
from storage.postgres.tables import teams, webhook_endpoints

MAX_ENDPOINTS = 50
"""Maximum number of endpoints of a team. Each event is a request to each endpoint that selects its type."""
ROTATION_PERIOD = timedelta(hours=24)
"""Time for which the previous secret signs beside a new one."""
DISABLED_BY_REQUEST = "disabled by request"
"""Reason of an endpoint that a request disabled."""

_FAIL_PENDING = text(
    "update webhook_deliveries set status = 'failed', due_at = null, ended_at = now(),"
    " reason = coalesce(reason || '; ', '') || 'its endpoint was disabled'"
    " where endpoint_id = :endpoint_id and status = 'pending'"
)


@dataclass(frozen=True, slots=True)
class WebhookEndpointRecord:
    """An endpoint, without its secrets.

    Attributes:
        disabled_reason: why it is disabled; None while it is enabled.
        previous_secret_expires_at: until when the secret before the last rotation signs as well; None without a rotation.
    """

    id: UUID
    url: str
    event_types: tuple[SubscribableEventType, ...]
    enabled: bool
    disabled_reason: str | None
    previous_secret_expires_at: datetime | None
    created_at: datetime


_COLUMNS = [webhook_endpoints.c[field.name] for field in fields(WebhookEndpointRecord)]
_LOCK_TEAM = select(teams.c.id).where(teams.c.id == bindparam("team_id")).with_for_update(key_share=True)
_COUNT = select(func.count()).where(webhook_endpoints.c.team_id == bindparam("team_id"))
_INSERT = insert(webhook_endpoints).returning(*_COLUMNS)
_OF_TEAM = select(*_COLUMNS).where(webhook_endpoints.c.team_id == bindparam("team_id"))
_LIST = _OF_TEAM.order_by(webhook_endpoints.c.created_at, webhook_endpoints.c.id)
_BY_ID = _OF_TEAM.where(webhook_endpoints.c.id == bindparam("endpoint_id"))
# Deliveries to it can be written meanwhile.
_LOCK_BY_ID = _BY_ID.with_for_update(key_share=True)
_UPDATE_BY_ID = update(webhook_endpoints).where(webhook_endpoints.c.id == bindparam("endpoint_id")).returning(*_COLUMNS)
_DISABLE = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.id == bindparam("endpoint_id"))
    .values(enabled=False, disabled_reason=bindparam("reason"))
)
# A parameter of an update must not have the name of a column.
_ROTATE_SECRET = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.team_id == bindparam("of_team"), webhook_endpoints.c.id == bindparam("endpoint_id"))
    .values(
        secret=bindparam("new_secret"),
        previous_secret=webhook_endpoints.c.secret,
        previous_secret_expires_at=bindparam("expires_at"),
    )
    .returning(*_COLUMNS)
)
_DELETE = delete(webhook_endpoints).where(
    webhook_endpoints.c.team_id == bindparam("team_id"), webhook_endpoints.c.id == bindparam("endpoint_id")
)


async def create_endpoint(
    conn: AsyncConnection,
    team_id: str,
    endpoint_id: UUID,
    url: str,
    event_types: Sequence[SubscribableEventType],
    secret: str,
) -> WebhookEndpointRecord:
    """Add an endpoint. It gets the events from now on.

    Args:
        endpoint_id: the new endpoint's id.
        url: its normalized URL.
        event_types: the types that it gets.
        secret: its encrypted secret.

    Raises:
        ConflictError: the team has `MAX_ENDPOINTS` already.
    """
    # Locks the team, so that concurrent requests can't exceed the limit.
    await conn.execute(_LOCK_TEAM, {"team_id": team_id})
    if (await conn.execute(_COUNT, {"team_id": team_id})).scalar_one() >= MAX_ENDPOINTS:
        raise ConflictError(
            "limit", f"there are {MAX_ENDPOINTS} webhook endpoints, which is the limit: remove one first"
        )
    values = {
        "id": endpoint_id,
        "team_id": team_id,
        "url": url,
        "event_types": list(event_types),
        "secret": secret,
    }
    return WebhookEndpointRecord(**(await conn.execute(_INSERT, values)).mappings().one())


async def list_endpoints(conn: AsyncConnection, team_id: str) -> list[WebhookEndpointRecord]:
    """List a team's endpoints, oldest first."""
    return [WebhookEndpointRecord(**row) for row in (await conn.execute(_LIST, {"team_id": team_id})).mappings()]


async def read_endpoint(
    conn: AsyncConnection, team_id: str, endpoint_id: UUID, *, for_update: bool = False
) -> WebhookEndpointRecord:
    """Read an endpoint of a team.

    Args:
        for_update: whether to lock its row until the end of the transaction.

    Raises:
        NotFoundError: the team has no such endpoint.
    """
    rows = await conn.execute(_LOCK_BY_ID if for_update else _BY_ID, {"team_id": team_id, "endpoint_id": endpoint_id})
    row = rows.mappings().one_or_none()
    if row is None:
        raise _unknown(endpoint_id)
    return WebhookEndpointRecord(**row)


async def require_enabled(conn: AsyncConnection, team_id: str, endpoint_id: UUID) -> None:
    """Check that an endpoint is enabled, and keep it so until the end of the transaction.

    Raises:
        NotFoundError: the team has no such endpoint.
        ConflictError: it is disabled.
    """
    endpoint = await read_endpoint(conn, team_id, endpoint_id, for_update=True)
    if not endpoint.enabled:
        raise ConflictError("disabled", f"the webhook is disabled ({endpoint.disabled_reason}): enable it first")


async def change_endpoint(
    conn: AsyncConnection,
    team_id: str,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    event_types: Sequence[SubscribableEventType] | None = None,
    enabled: bool | None = None,
) -> WebhookEndpointRecord:
    """Change an endpoint. None leaves a value unchanged. The pending deliveries of a disabled endpoint fail.

    Raises:
        NotFoundError: the team has no such endpoint.
    """
    endpoint = await read_endpoint(conn, team_id, endpoint_id, for_update=True)
    values: dict[str, Any] = {}
    if url is not None:
        values["url"] = url
    if event_types is not None:
        values["event_types"] = list(event_types)
    if enabled is not None and enabled != endpoint.enabled:
        values |= {"enabled": enabled, "disabled_reason": None if enabled else DISABLED_BY_REQUEST}
    if not values:
        return endpoint
    rows = await conn.execute(_UPDATE_BY_ID.values(**values), {"endpoint_id": endpoint_id})
    record = WebhookEndpointRecord(**rows.mappings().one())
    if enabled is False:
        await fail_pending(conn, endpoint_id)
    return record


async def disable_endpoint(conn: AsyncConnection, endpoint_id: UUID, reason: str) -> None:
    """Disable an endpoint. `fail_pending` fails its deliveries.

    Args:
        reason: why, for its users.
    """
    await conn.execute(_DISABLE, {"endpoint_id": endpoint_id, "reason": reason})


async def fail_pending(conn: AsyncConnection, endpoint_id: UUID) -> None:
    """Fail the pending deliveries of an endpoint that was disabled."""
    await conn.execute(_FAIL_PENDING, {"endpoint_id": endpoint_id})


async def rotate_secret(
    conn: AsyncConnection, team_id: str, endpoint_id: UUID, secret: str, now: datetime
) -> WebhookEndpointRecord:
    """Give an endpoint a new secret. The previous one signs as well for `ROTATION_PERIOD`.

    Args:
        secret: the new secret, encrypted.
        now: the current time.

    Raises:
        NotFoundError: the team has no such endpoint.
    """
    values = {
        "of_team": team_id,
        "endpoint_id": endpoint_id,
        "new_secret": secret,
        "expires_at": now + ROTATION_PERIOD,
    }
    row = (await conn.execute(_ROTATE_SECRET, values)).mappings().one_or_none()
    if row is None:
        raise _unknown(endpoint_id)
    return WebhookEndpointRecord(**row)


async def delete_endpoint(conn: AsyncConnection, team_id: str, endpoint_id: UUID) -> None:
    """Delete an endpoint, with its deliveries.

    Raises:
        NotFoundError: the team has no such endpoint.
    """
    if (await conn.execute(_DELETE, {"team_id": team_id, "endpoint_id": endpoint_id})).rowcount == 0:
        raise _unknown(endpoint_id)


def _unknown(endpoint_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no webhook {endpoint_id}")
