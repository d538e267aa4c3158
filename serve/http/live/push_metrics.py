"""Metrics and traces of the delivery of live events, from the commit to the client's socket."""

from __future__ import annotations

import time
from uuid import UUID

from serve.http.dependencies.live_fanout import LiveEvent
from serve.http.dependencies.services import Services


def record_push(services: Services, meeting_id: UUID, event: LiveEvent) -> None:
    """Record that an event was sent to a client. Events that were read from Postgres are not counted."""
    if event.committed_at is None:
        return
    now = time.time()
    services.metrics.observe("push", now - event.committed_at)
    sentence_id = event.payload.get("id" if event.kind == "sentence" else "sentence_id")
    if sentence_id is not None:
        services.traces.add_span("push", str(meeting_id), sentence_id, event.committed_at, now, kind=event.kind)
