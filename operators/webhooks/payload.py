"""The body of a webhook, by the recommendation of Standard Webhooks: `{type, timestamp, data}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from operators.webhooks.event_types import TEST_EVENT_TYPE, WebhookEventType


def webhook_body(event_type: WebhookEventType, occurred_at: datetime, data: Mapping[str, Any]) -> str:
    """Make the body of an event. The same event always gives the same body.

    Args:
        event_type: the event's type.
        occurred_at: when the event was committed.
        data: the event's content, in JSON types.
    """
    content = {"type": event_type, "timestamp": occurred_at.isoformat().replace("+00:00", "Z"), "data": dict(data)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def event_data(
    event_type: WebhookEventType,
    meeting: Mapping[str, Any],
    seq: int | None,
    content: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Make the `data` of an event.

    Args:
        event_type: the event's type.
        meeting: the meeting's `meeting_id`, `external_id` and `title`. Events of sentences and captions omit the title.
        seq: the number of the event within its meeting, as in the stream of live events.
        content: the live event's content.
    """
    if event_type == TEST_EVENT_TYPE:
        return {"message": "This is a test of Parley's webhooks."}
    about = {name: value for name, value in meeting.items() if name != "title" or event_type.startswith("meeting.")}
    return {**about, "seq": seq, **(content or {})}
