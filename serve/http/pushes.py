"""How long live events take to their followers: from the commit to the socket."""

from __future__ import annotations

import time
from uuid import UUID

from serve.http.hub import Live
from serve.http.services import Services


def handed(services: Services, meeting_id: UUID, event: Live) -> None:
    """Take note that an event is with one more follower. One that was read from Postgres was not pushed."""
    if event.at is None:
        return
    now = time.time()
    services.measures.observe("push", now - event.at)
    sentence_id = event.payload.get("id" if event.kind == "sentence" else "sentence_id")
    if sentence_id is not None:
        services.traces.span("push", str(meeting_id), sentence_id, event.at, now, kind=event.kind)
