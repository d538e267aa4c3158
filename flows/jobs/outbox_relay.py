"""The relay: live events that were committed but, after a crash, never published. Their readers wait for them."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import redis
from sqlalchemy import Engine, text

from storage import keys
from storage.live import publish_events
from storage.records import Event

LOOK_BACK_MINUTES = 5
"""How far back it looks."""
MAX_EVENTS = 500
"""Events sent for one meeting in one round."""


class OutboxRelay:
    """Compares what is committed with what is published, and sends the rest.

    A meeting that is behind is given one round to catch up by itself: its lane may be publishing at this moment.
    """

    def __init__(self, engine: Engine, connection: redis.Redis) -> None:
        self._engine = engine
        self._redis = connection
        self._behind: dict[str, int] = {}

    def run_once(self) -> int:
        """Look once at every meeting with events of the last minutes. Who follows an older one asks Postgres as well.

        Returns:
            How many events were sent.
        """
        with self._engine.connect() as connection:
            rows = connection.execute(
                text(
                    "select meeting_id as id, max(seq) as seq from outbox"
                    " where created_at > now() - :minutes * interval '1 minute' group by meeting_id"
                ),
                {"minutes": LOOK_BACK_MINUTES},
            ).all()
        if not rows:
            return 0
        marks = cast(list[str | None], self._redis.mget([keys.published(str(row.id)) for row in rows]))
        published = {str(row.id): int(mark or 0) for row, mark in zip(rows, marks, strict=True)}
        behind = {str(row.id): published[str(row.id)] for row in rows if row.seq > published[str(row.id)]}
        stuck = [meeting_id for meeting_id, seq in behind.items() if self._behind.get(meeting_id) == seq]
        self._behind = behind
        return sum(self._send(meeting_id, behind[meeting_id]) for meeting_id in stuck)

    def _send(self, meeting_id: str, after: int) -> int:
        with self._engine.connect() as connection:
            rows = connection.execute(
                text(
                    "select team_id, seq, kind, payload from outbox where meeting_id = :id and seq > :after"
                    " order by seq limit :limit"
                ),
                {"id": UUID(meeting_id), "after": after, "limit": MAX_EVENTS},
            ).all()
        publish_events(self._redis, [Event(r.team_id, meeting_id, r.seq, r.kind, r.payload) for r in rows])
        return len(rows)
