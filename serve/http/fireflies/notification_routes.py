"""The route that receives Fireflies' webhooks (Webhooks V2). It only stores them; the connector processes them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from operators.errors import ConflictError, InvalidInputError, SetupError
from operators.fields import EpochMs, Name, to_invalid_input_error
from operators.sources.fireflies import FIREFLIES
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.problems import problem_response, problem_responses
from storage.encryption import SecretCipher
from storage.postgres import source_accounts, source_notifications
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/fireflies", tags=["fireflies"])

KNOWN_EVENTS = ("meeting.bot_joined", "meeting.transcribed", "meeting.summarized")
"""Events that have an effect."""
SIGNATURE_PREFIX = "sha256="


class FirefliesNotification(BaseModel):
    """A webhook of Fireflies. Further fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    event: Name
    meeting_id: Name
    timestamp: Annotated[EpochMs | None, Field(description="When it was sent, in ms since the Unix epoch.")] = None


class WebhookReceipt(BaseModel):
    """The outcome of a webhook: `accepted`, `repeated` if it arrived before, or `ignored` if its event is unknown."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcome": "accepted"}]})

    outcome: Literal["accepted", "repeated", "ignored"]


_EXAMPLE = {"event": "meeting.transcribed", "timestamp": 1_795_000_000_000, "meeting_id": "ASxwZxCstx"}


# The schema is given here because the signature is checked over the raw body, before the body is read as JSON.
@router.post(
    "/webhook",
    response_model=WebhookReceipt,
    responses=problem_responses(401, 409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": FirefliesNotification.model_json_schema(), "example": _EXAMPLE}},
        }
    },
)
async def receive_fireflies_webhook(
    request: Request,
    services: ServicesDep,
    signature: Annotated[
        str | None, Header(alias="X-Hub-Signature", description="`sha256=` and the HMAC of the raw body, in hex.")
    ] = None,
) -> WebhookReceipt | JSONResponse:
    """Receive a webhook of Fireflies. Each is stored once and processed within seconds; a repeated delivery changes nothing.

    `meeting.bot_joined` connects to the meeting, `meeting.transcribed` imports its transcript, `meeting.summarized` refreshes
    its summary. 401 says that the signature is missing or wrong, 409 that no secret was set by `PUT config`.
    """
    body = await request.body()
    async with services.database.connect() as conn:
        account = await source_accounts.read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
    stored = account.webhook_secret
    if not stored:
        raise ConflictError("no_secret", "set the secret of webhooks first, by PUT /api/fireflies/config")
    try:
        secret = SecretCipher(services.options.encryption_key).read_secret(stored.encrypted, stored.variable)
    except SetupError as error:
        raise ConflictError("no_secret", str(error)) from None
    if not _is_signed(body, secret, signature):
        await _count(services, "refused:signature")
        raise HTTPException(401, "X-Hub-Signature is missing, or is no signature of this body with the secret")
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        await _count(services, "refused:invalid")
        return problem_response("bad-request", 400, "the body is not JSON")
    try:
        webhook = FirefliesNotification.model_validate(content)
    except ValidationError as error:
        await _count(services, "refused:invalid")
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(invalid.field or "body", invalid.fix) from None
    return await _store(services, webhook, hashlib.sha256(body).hexdigest())


async def _store(services: Services, webhook: FirefliesNotification, digest: str) -> WebhookReceipt:
    is_known = webhook.event in KNOWN_EVENTS
    async with services.database.begin() as conn:
        is_new = is_known and await source_notifications.add_notification(
            conn,
            team_id=DEFAULT_TEAM_ID,
            source=FIREFLIES.name,
            digest=digest,
            event=webhook.event,
            external_id=webhook.meeting_id,
        )
        name = webhook.event if is_new else "repeated" if is_known else "unknown"
        await source_accounts.count_webhook(conn, DEFAULT_TEAM_ID, FIREFLIES.name, name)
    return WebhookReceipt(outcome="accepted" if is_new else "repeated" if is_known else "ignored")


async def _count(services: Services, name: str) -> None:
    async with services.database.begin() as conn:
        await source_accounts.count_webhook(conn, DEFAULT_TEAM_ID, FIREFLIES.name, name)


def _is_signed(body: bytes, secret: str, signature: str | None) -> bool:
    """Check a signature in constant time."""
    if signature is None:
        return False
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"{SIGNATURE_PREFIX}{expected}".encode(), signature.strip().lower().encode())
