"""operators/webhooks/signature.py and payload.py: the published verifier accepts every request."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from operators.webhooks.event_types import SUBSCRIBABLE_EVENT_TYPES
from operators.webhooks.payload import event_data, webhook_body
from operators.webhooks.signature import SECRET_BYTES, format_secret, signature_headers

MEETING = {"meeting_id": "m", "external_id": None, "title": "Monday"}


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), st.binary(min_size=24, max_size=64), st.text())
def test_the_published_verifier_accepts_each_secret(new: bytes, old: bytes, words: str) -> None:
    body = webhook_body("sentence.updated", datetime.now(UTC), {"text": words.encode("utf-8", "replace").decode()})
    secrets = [format_secret(new), format_secret(old)]
    headers = signature_headers(secrets, "msg_1", datetime.now(UTC), body)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body + " ", headers)


@pytest.mark.parametrize("event_type", SUBSCRIBABLE_EVENT_TYPES)
def test_a_body_has_type_timestamp_and_data(event_type: str) -> None:
    data = event_data(event_type, MEETING, 3, {"id": "1.0"})  # type: ignore[arg-type]
    body = json.loads(webhook_body(event_type, datetime(2026, 11, 30, 9, tzinfo=UTC), data))  # type: ignore[arg-type]
    assert (body["type"], body["timestamp"]) == (event_type, "2026-11-30T09:00:00Z")
    assert body["data"] | {"title": ""} == {"meeting_id": "m", "external_id": None, "title": "", "seq": 3, "id": "1.0"}
    assert ("title" in body["data"]) is event_type.startswith("meeting.")
