"""Routes for outbound webhooks: endpoints, their secrets, and the log of deliveries."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from uuid6 import uuid7

from operators.address_check import AddressRule
from operators.errors import ConflictError, InvalidInputError, SetupError
from operators.fields import StrictModel, require_non_blank
from operators.webhooks.event_types import (
    SUBSCRIBABLE_EVENT_TYPES,
    EventTypes,
    SubscribableEventType,
)
from operators.webhooks.signature import SECRET_BYTES, format_secret
from operators.webhooks.webhook_url import MAX_URL_CHARS, host_and_port, normalize_webhook_url
from serve.http.dependencies.host_lookup import resolve_host
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.problems import problem_responses
from storage.encryption import SecretCipher
from storage.postgres import webhook_deliveries, webhook_endpoints
from storage.postgres.webhook_deliveries import EXAMPLE_DELIVERY, Delivery, DeliveryStatus
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])

_MAX_ID = 2**63 - 1
DeliveryId = Annotated[int, Path(ge=1, le=_MAX_ID)]
WebhookUrl = Annotated[str, Field(max_length=MAX_URL_CHARS), AfterValidator(require_non_blank)]

_EXAMPLE_ID = "0198c5f0-7d1e-7a2b-8c3d-4e5f60718293"
_EXAMPLE: JsonDict = {
    "id": _EXAMPLE_ID,
    "url": "https://example.com/parley",
    "event_types": ["caption.updated", "meeting.ended"],
    "enabled": True,
    "disabled_reason": None,
    "previous_secret_expires_at": None,
    "created_at": "2026-11-30T09:00:00Z",
}


class CreateWebhookRequest(StrictModel):
    """A webhook to add: its URL, and the event types that it gets (all types if omitted)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{name: _EXAMPLE[name] for name in ("url", "event_types")}]}
    )

    url: WebhookUrl
    event_types: EventTypes = SUBSCRIBABLE_EVENT_TYPES


class ChangeWebhookRequest(StrictModel):
    """The values of a webhook to change. Omitted values stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: WebhookUrl | None = None
    event_types: EventTypes | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> ChangeWebhookRequest:
        if not self.model_fields_set:
            raise ValueError("must have a value to change: url, event_types or enabled")
        return self


class ReplayRequest(StrictModel):
    """The time from which failed deliveries are replayed, by the time of their events."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"since": "2026-11-30T00:00:00Z"}]})

    since: AwareDatetime


class Webhook(BaseModel):
    """A webhook endpoint. `disabled_reason` is null while it is enabled.

    `previous_secret_expires_at` is the time until which the secret before the last rotation signs as well.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    url: str
    event_types: tuple[SubscribableEventType, ...]
    enabled: bool
    disabled_reason: str | None
    previous_secret_expires_at: datetime | None
    created_at: datetime


class WebhookWithSecret(Webhook):
    """A webhook endpoint with its new secret, which is never shown again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}]}
    )

    secret: str


class WebhookList(BaseModel):
    """All webhook endpoints, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"webhooks": [_EXAMPLE]}]})

    webhooks: list[Webhook]


class DeliveryPage(BaseModel):
    """Deliveries, newest first. Send `before` to get the next page; it is null on the last page."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deliveries": [EXAMPLE_DELIVERY], "before": None}]})

    deliveries: list[Delivery]
    before: int | None


class RedeliveryResult(BaseModel):
    """The number of deliveries that were queued again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"replayed": 3}]})

    replayed: int


@router.post("", status_code=201, responses=problem_responses(409))
async def add_webhook(new: CreateWebhookRequest, services: ServicesDep) -> WebhookWithSecret:
    """Add a webhook. The answer has its secret, which is never shown again. It gets the events from now on.

    The URL must lead to a public address, unless PARLEY_PRIVATE_ADDRESSES is set. 409 says why no webhook can be added.
    """
    url = await _check_url(services, new.url)
    async with services.database.begin() as conn:
        secret, encrypted = _make_secret(services)
        endpoint = await webhook_endpoints.create_endpoint(
            conn, DEFAULT_TEAM_ID, UUID(bytes=uuid7().bytes), url, new.event_types, encrypted
        )
    return WebhookWithSecret(secret=secret, **_to_webhook(endpoint).model_dump())


@router.get("")
async def list_webhooks(services: ServicesDep) -> WebhookList:
    """List all webhooks, oldest first, without their secrets."""
    async with services.database.connect() as conn:
        endpoints = await webhook_endpoints.list_endpoints(conn, DEFAULT_TEAM_ID)
    return WebhookList(webhooks=[_to_webhook(endpoint) for endpoint in endpoints])


@router.get("/{webhook_id}", responses=problem_responses(404))
async def get_webhook(webhook_id: UUID, services: ServicesDep) -> Webhook:
    """Get a webhook, without its secret."""
    async with services.database.connect() as conn:
        return _to_webhook(await webhook_endpoints.read_endpoint(conn, DEFAULT_TEAM_ID, webhook_id))


@router.patch("/{webhook_id}", responses=problem_responses(404))
async def change_webhook(webhook_id: UUID, changes: ChangeWebhookRequest, services: ServicesDep) -> Webhook:
    """Change a webhook's URL or event types, or enable or disable it.

    The pending deliveries of a webhook that is disabled fail; they can be replayed. It gets no events while it is disabled.
    """
    url = None if changes.url is None else await _check_url(services, changes.url)
    async with services.database.begin() as conn:
        endpoint = await webhook_endpoints.change_endpoint(
            conn,
            DEFAULT_TEAM_ID,
            webhook_id,
            url=url,
            event_types=changes.event_types,
            enabled=changes.enabled,
        )
    return _to_webhook(endpoint)


@router.delete("/{webhook_id}", status_code=204, responses=problem_responses(404))
async def delete_webhook(webhook_id: UUID, services: ServicesDep) -> Response:
    """Remove a webhook, with its pending deliveries and its log."""
    async with services.database.begin() as conn:
        await webhook_endpoints.delete_endpoint(conn, DEFAULT_TEAM_ID, webhook_id)
    return Response(status_code=204)


@router.post("/{webhook_id}/rotate-secret", responses=problem_responses(404, 409))
async def rotate_webhook_secret(webhook_id: UUID, services: ServicesDep) -> WebhookWithSecret:
    """Replace a webhook's secret. The answer has the new one, which is never shown again.

    The old and the new secret sign together for 24 hours. After a second rotation, the first secret no longer signs.
    """
    async with services.database.begin() as conn:
        await webhook_endpoints.read_endpoint(conn, DEFAULT_TEAM_ID, webhook_id, for_update=True)
        secret, encrypted = _make_secret(services)
        endpoint = await webhook_endpoints.rotate_secret(
            conn, DEFAULT_TEAM_ID, webhook_id, encrypted, datetime.now(UTC)
        )
    return WebhookWithSecret(secret=secret, **_to_webhook(endpoint).model_dump())


@router.post("/{webhook_id}/test", status_code=202, responses=problem_responses(404, 409))
async def send_webhook_test(webhook_id: UUID, services: ServicesDep) -> Delivery:
    """Send an event `webhook.test` to a webhook. The delivery's status shows the outcome."""
    async with services.database.begin() as conn:
        return await webhook_deliveries.queue_test(conn, DEFAULT_TEAM_ID, webhook_id, f"msg_{uuid7().hex}")


@router.get("/{webhook_id}/deliveries", responses=problem_responses(404))
async def list_webhook_deliveries(
    webhook_id: UUID,
    services: ServicesDep,
    status: DeliveryStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
) -> DeliveryPage:
    """List the deliveries to a webhook, newest first; with `status`, those with that status only.

    Deliveries that ended a week ago are removed.
    """
    async with services.database.connect() as conn:
        await webhook_endpoints.read_endpoint(conn, DEFAULT_TEAM_ID, webhook_id)
        # One more than the page shows whether there is a next page.
        found = await webhook_deliveries.list_deliveries(
            conn, DEFAULT_TEAM_ID, webhook_id, status=status, limit=limit + 1, before=before
        )
    page = found[:limit]
    return DeliveryPage(
        deliveries=page,
        before=page[-1].id if len(found) > limit else None,
    )


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202, responses=problem_responses(404, 409))
async def replay_webhook_delivery(webhook_id: UUID, delivery_id: DeliveryId, services: ServicesDep) -> Delivery:
    """Deliver an event again that was accepted or failed, with the same `webhook-id`.

    It comes before all pending events of its meeting. 409 says why it can't be replayed.
    """
    async with services.database.begin() as conn:
        return await webhook_deliveries.replay_delivery(conn, DEFAULT_TEAM_ID, webhook_id, delivery_id)


@router.post("/{webhook_id}/replay", status_code=202, responses=problem_responses(404, 409))
async def replay_failed_deliveries(
    webhook_id: UUID, replayed: ReplayRequest, services: ServicesDep
) -> RedeliveryResult:
    """Deliver all failed events again that were created since a time."""
    async with services.database.begin() as conn:
        count = await webhook_deliveries.replay_failed(conn, DEFAULT_TEAM_ID, webhook_id, replayed.since)
    return RedeliveryResult(replayed=count)


async def _check_url(services: Services, url: str) -> str:
    """Check a URL, and where its host leads. The sender checks the address again at each connection.

    Returns:
        The normalized URL.

    Raises:
        InvalidInputError: the URL can't be used.
    """
    private_allowed = services.options.private_addresses
    try:
        normalized = normalize_webhook_url(url, private_allowed=private_allowed)
    except ValueError as error:
        raise InvalidInputError("url", str(error)) from None
    if private_allowed:
        return normalized
    await resolve_host("url", *host_and_port(normalized), AddressRule())
    return normalized


def _make_secret(services: Services) -> tuple[str, str]:
    """Make a secret.

    Returns:
        The secret, plain and encrypted.

    Raises:
        ConflictError: there is no key that encrypts it.
    """
    secret = format_secret(secrets.token_bytes(SECRET_BYTES))
    try:
        return secret, SecretCipher(services.options.encryption_key).encrypt(secret)
    except SetupError as error:
        raise ConflictError("no_key", str(error)) from None


def _to_webhook(endpoint: webhook_endpoints.WebhookEndpointRecord) -> Webhook:
    return Webhook.model_validate(endpoint, from_attributes=True)
