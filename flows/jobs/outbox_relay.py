"""The outbox relay: publishes live events that were committed but, after a crash, never published.

Subscribers wait for these events, because sequence numbers have no gaps.
"""

from __future__ import annotations

from typing import cast
from uuid import UUID

import redis
from sqlalchemy import Engine, text

from storage import redis_keys
from storage.records import OutboxEvent
from storage.redis_log.live_pubsub import publish_events

LOOK_BACK_MINUTES = 5
"""Age of the oldest events that are checked, in minutes."""
MAX_EVENTS = 500
"""Maximum number of events published for one meeting in one run."""


class OutboxRelay:
    """Compares the committed events with the published ones, and publishes the rest.

    A meeting that lags gets one run to catch up, because its lane may be publishing at this moment.

    Args:
        engine: the database.
        connection: Redis, where the events are published.
    """

    def __init__(self, engine: Engine, connection: redis.Redis) -> None:
        self._engine = engine
        self._redis = connection
        self._lagging: dict[str, int] = {}

    def run_once(self) -> int:
        """Check every meeting with events of the last `LOOK_BACK_MINUTES` once.

        Subscribers of an older meeting read its events from Postgres as well.

        Returns:
            The number of events published.
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
        published_seqs = cast(
            list[str | None], self._redis.mget([redis_keys.published_seq(str(row.id)) for row in rows])
        )
        published = {str(row.id): int(seq or 0) for row, seq in zip(rows, published_seqs, strict=True)}
        lagging = {str(row.id): published[str(row.id)] for row in rows if row.seq > published[str(row.id)]}
        stuck = [meeting_id for meeting_id, seq in lagging.items() if self._lagging.get(meeting_id) == seq]
        self._lagging = lagging
        return sum(self._publish(meeting_id, lagging[meeting_id]) for meeting_id in stuck)

    def _publish(self, meeting_id: str, after: int) -> int:
        with self._engine.connect() as connection:
            rows = connection.execute(
                text(
                    "select team_id, seq, kind, payload from outbox where meeting_id = :id and seq > :after"
                    " order by seq limit :limit"
                ),
                {"id": UUID(meeting_id), "after": after, "limit": MAX_EVENTS},
            ).all()
        publish_events(self._redis, [OutboxEvent(r.team_id, meeting_id, r.seq, r.kind, r.payload) for r in rows])
        return len(rows)
