"""The outbox relay: publishes live events that were committed but, after a crash, never published.

Subscribers wait for these events, because sequence numbers have no gaps.
"""

from __future__ import annotations

from typing import cast

import redis
from sqlalchemy import Engine

from storage import redis_keys
from storage.postgres.outbox import read_events, read_last_seqs
from storage.redis_log.live_pubsub import publish_events

LOOK_BACK_MINUTES = 5
"""Age of the oldest events that are checked, in minutes."""
MAX_EVENTS = 500
"""Maximum number of events published for one meeting in one run: the newest. Subscribers read those before from Postgres."""


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
            committed = read_last_seqs(connection, LOOK_BACK_MINUTES)
        if not committed:
            return 0
        published_seqs = cast(
            list[str | None], self._redis.mget([redis_keys.published_seq(meeting_id) for meeting_id in committed])
        )
        published = {meeting_id: int(seq or 0) for meeting_id, seq in zip(committed, published_seqs, strict=True)}
        lagging = {
            meeting_id: published[meeting_id] for meeting_id, seq in committed.items() if seq > published[meeting_id]
        }
        stuck = [meeting_id for meeting_id, seq in lagging.items() if self._lagging.get(meeting_id) == seq]
        self._lagging = lagging
        return sum(self._publish(meeting_id, lagging[meeting_id], committed[meeting_id]) for meeting_id in stuck)

    def _publish(self, meeting_id: str, published: int, committed: int) -> int:
        after = max(published, committed - MAX_EVENTS)
        with self._engine.connect() as connection:
            events = read_events(connection, meeting_id, after, MAX_EVENTS)
        publish_events(self._redis, events)
        return len(events)
