"""Secrets and signature headers of webhooks, by Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook

SECRET_BYTES = 32
"""Length of a secret. The standard requires 24 to 64 bytes."""


def format_secret(random_bytes: bytes) -> str:
    """Format a secret as the standard does: `whsec_` and base64."""
    return f"whsec_{base64.b64encode(random_bytes).decode()}"


def signature_headers(secrets: Sequence[str], event_id: str, at: datetime, body: str) -> dict[str, str]:
    """Sign a request with each secret.

    Args:
        secrets: the endpoint's secrets: after a rotation the new one and the old one.
        event_id: the event's id, which is the same at each attempt.
        at: the time of the attempt, in UTC.
        body: the request's body, exactly as it is sent.

    Returns:
        The headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    """
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, at, body) for secret in secrets),
    }
