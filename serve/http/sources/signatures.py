"""Checks of the signature or key that a source sends with its messages. All comparisons take constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from operators.errors import InvalidInputError, UnauthenticatedError

WEBHOOK_ID_HEADERS = ("webhook-id", "svix-id")
"""Headers with the id of a delivery by Standard Webhooks. Older services use Svix' own names."""
_KEY_HEADERS = ("x-api-key", "dg-token")
"""Headers, besides `Authorization`, in which services send a key."""
ATTENDEE_HEADER = "x-webhook-signature"
"""The header with Attendee's signature."""


def check_request(
    source: str, secret: str, headers: Mapping[str, str], body: bytes, *, is_socket: bool = False
) -> None:
    """Check that a request comes from a source.

    Recall.ai signs by Standard Webhooks, and Attendee its canonical JSON; a signature is over the raw body. The others send
    the secret itself, as `Authorization: Bearer` or in a header for keys.

    Args:
        source: the source's name.
        secret: the source's secret. A source that signs may have several, with spaces between: one for each endpoint, or the
            old and the new one while they change.
        headers: the request's headers, with names in lower case.
        body: the raw body; empty for the handshake of a WebSocket.
        is_socket: whether the request opens a WebSocket.

    Raises:
        UnauthenticatedError: the signature or key is missing, wrong or too old.
    """
    if source == "recall":
        _check_any(_check_standard_webhook, secret, headers, body)
    elif source == "attendee" and not is_socket:
        _check_any(_check_attendee, secret, headers, body)
    else:
        _check_key(secret, headers)


def check_secret(source: str, secret: str) -> None:
    """Check that a secret has the form that the source's signatures need, or each of several secrets.

    Raises:
        InvalidInputError: it hasn't.
    """
    try:
        # A blank secret is none; it is refused as well.
        for one in secret.split() or [""]:
            if source == "recall":
                Webhook(one)
            elif source == "attendee":
                base64.b64decode(one, validate=True)
    except (ValueError, EmptyWebhookSecretError):
        kind = "start with `whsec_`, as Recall.ai shows it" if source == "recall" else "be base64, as Attendee shows it"
        raise InvalidInputError("secret", f"must {kind}") from None


def _check_any(
    check: Callable[[str, Mapping[str, str], bytes], None], secrets: str, headers: Mapping[str, str], body: bytes
) -> None:
    """Check a signature by each of the secrets, and raise the last error if none fits."""
    failure = UnauthenticatedError("the source's secret is blank; configure it again")
    for secret in secrets.split():
        try:
            check(secret, headers, body)
        except UnauthenticatedError as error:
            failure = error
        else:
            return
    raise failure


def _check_standard_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    standard = {
        name: headers.get(name) or headers.get(name.replace("webhook", "svix"), "")
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }
    try:
        Webhook(secret).verify(body, standard, json_parse=False)
    except WebhookVerificationError as error:
        raise UnauthenticatedError(f"webhook-signature: {str(error)[:1].lower()}{str(error)[1:]}") from None
    except (ValueError, OverflowError, EmptyWebhookSecretError):
        raise UnauthenticatedError("webhook-signature: the signature can't be read") from None


def _check_attendee(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    try:
        # Attendee signs the JSON in its canonical form, which need not be the form that it sends.
        canonical = json.dumps(json.loads(body), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        key = base64.b64decode(secret, validate=True)
    except (ValueError, RecursionError):
        raise UnauthenticatedError(f"{ATTENDEE_HEADER}: the body or the secret can't be read") from None
    expected = base64.b64encode(hmac.new(key, canonical, hashlib.sha256).digest())
    if not hmac.compare_digest(expected, headers.get(ATTENDEE_HEADER, "").encode()):
        raise UnauthenticatedError(f"{ATTENDEE_HEADER}: no matching signature found")


def _check_key(secret: str, headers: Mapping[str, str]) -> None:
    bearer = headers.get("authorization", "")
    sent = bearer[7:].strip() if bearer[:7].lower() == "bearer " else ""
    keys = [sent, *(headers.get(name, "") for name in _KEY_HEADERS)]
    # Every key is compared, so that the time doesn't depend on which one is right.
    matches = [hmac.compare_digest(key.encode(), secret.encode()) for key in keys]
    if not any(matches):
        raise UnauthenticatedError(
            "authorization: send the source's secret as `Authorization: Bearer …` or `X-API-Key`"
        )
