"""Sends the webhooks of meetings (Fireflies' Webhooks V2), with signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Literal

import httpx

WebhookEvent = Literal["meeting.bot_joined", "meeting.transcribed", "meeting.summarized"]
ANSWER_TIMEOUT_S = 10.0
"""Seconds that a receiver has to answer."""
SIGNATURE_HEADER = "X-Hub-Signature"


@dataclass(frozen=True, slots=True)
class SentWebhook:
    """A webhook that was sent.

    Attributes:
        event: its event.
        meeting_id: its meeting.
        status: HTTP status of the answer; None if there was none.
        error: the reason for that.
    """

    event: WebhookEvent
    meeting_id: str
    status: int | None
    error: str | None = None


def sign_body(body: bytes, secret: str) -> str:
    """Return the signature of a body: `sha256=` and the HMAC in hexadecimal digits."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


class WebhookSender:
    """Sends webhooks to one address. Each is sent once; an answer of any status ends its delivery.

    Args:
        url: the address.
        secret: secret of the signatures; without it, webhooks have no signature.
    """

    def __init__(self, url: str, secret: str | None) -> None:
        self._url = url
        self._secret = secret

    async def send(self, event: WebhookEvent, meeting_id: str) -> SentWebhook:
        """Send a webhook of a meeting, and await the answer."""
        fields = {"event": event, "timestamp": time.time_ns() // 1_000_000, "meeting_id": meeting_id}
        body = json.dumps(fields).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "Fireflies-Webhook/1.0"}
        if self._secret is not None:
            headers[SIGNATURE_HEADER] = sign_body(body, self._secret)
        try:
            async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
                response = await client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return SentWebhook(event, meeting_id, None, type(error).__name__)
        return SentWebhook(event, meeting_id, response.status_code)
