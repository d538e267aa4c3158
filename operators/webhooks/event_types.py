"""The event types of webhooks, and the names of what they report."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

WebhookEventType = Literal[
    "sentence.updated",
    "sentence.retracted",
    "caption.updated",
    "note.updated",
    "meeting.started",
    "meeting.ended",
    "webhook.test",
]
"""The type of a webhook's event.

- `sentence.updated`: a sentence, or a new revision of it.
- `sentence.retracted`: a sentence merged into another one, or its text was removed.
- `caption.updated`: a caption of a sentence is translated, untranslated or pending.
- `note.updated`: a note was requested, written, edited or deleted.
- `meeting.started`: a meeting began, or continues after a timeout.
- `meeting.ended`: a meeting ended, timed out or failed.
- `webhook.test`: a test that was requested for one endpoint.
"""
TEST_EVENT_TYPE: WebhookEventType = "webhook.test"
SubscribableEventType = Literal[
    "sentence.updated", "sentence.retracted", "caption.updated", "note.updated", "meeting.started", "meeting.ended"
]
"""An event type that an endpoint can select."""
SUBSCRIBABLE_EVENT_TYPES: tuple[SubscribableEventType, ...] = get_args(SubscribableEventType)


def _in_order(types: tuple[SubscribableEventType, ...]) -> tuple[SubscribableEventType, ...]:
    return tuple(each for each in SUBSCRIBABLE_EVENT_TYPES if each in types)


EventTypes = Annotated[tuple[SubscribableEventType, ...], Field(min_length=1, max_length=20), AfterValidator(_in_order)]
"""The event types of an endpoint, without repeats."""
