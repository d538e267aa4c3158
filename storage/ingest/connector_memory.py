"""The memory of connectors in Redis: a session's adapter state, and the latest revision of each chunk that it appended.

Without it, a repeated message after a restart would be new speech, and gaps could not be found. If Redis loses it,
the meeting's sentences in Postgres take its place.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import redis.asyncio

from operators.entries import Chunk
from storage import redis_keys
from storage.redis_log.event_log import NewEvent

RETENTION_S = 24 * 3600
"""Seconds that the memory is kept after the last append."""


@dataclass(frozen=True, slots=True)
class AppendedChunk:
    """A chunk that was appended to the log.

    Attributes:
        chunk: its latest revision.
        appended_at_ms: when that was appended (ms since the Unix epoch).
        is_added: whether it was added from a transcript. Otherwise it came live.
        longest_end: the latest end of its live revisions, in seconds from the meeting's start. A correction may end earlier.
    """

    chunk: Chunk
    appended_at_ms: int
    is_added: bool = False
    longest_end: float = 0.0


class ConnectorMemory:
    """Reads and writes the memory of connectors.

    Args:
        client: a client that decodes its responses.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    async def load_chunks(self, meeting_id: UUID) -> dict[str, AppendedChunk]:
        """Return the latest revision of each chunk of a meeting, by chunk id."""
        key = redis_keys.connector_chunks(str(meeting_id))
        stored = cast("dict[str, str]", await cast("Awaitable[Any]", self._redis.hgetall(key)))
        chunks: dict[str, AppendedChunk] = {}
        for chunk_id, content in stored.items():
            value = json.loads(content)
            chunks[chunk_id] = AppendedChunk(
                Chunk.model_validate(value["chunk"]), value["at"], value.get("added", False), value.get("longest", 0.0)
            )
        return chunks

    async def load_state(self, session_id: UUID) -> str | None:
        """Return the state of a session's adapter as JSON; None if there is none."""
        return cast("str | None", await self._redis.get(redis_keys.connector_state(str(session_id))))

    async def load_pending(self, session_id: UUID) -> list[NewEvent]:
        """Return the events that a session was about to append. After a crash they may be in the log, or not."""
        stored = await self._redis.get(redis_keys.connector_pending(str(session_id)))
        if stored is None:
            return []
        return [NewEvent(event_id, Chunk.model_validate(chunk)) for event_id, chunk in json.loads(stored)]

    async def store(
        self,
        session_id: UUID,
        meeting_id: UUID,
        state: str,
        events: Sequence[NewEvent],
        appended: Sequence[AppendedChunk],
    ) -> None:
        """Store a session's adapter state, and the events that it is about to append.

        Args:
            state: the adapter's state as JSON.
            events: the events of the chunks.
            appended: the chunks, with the present time.
        """
        pending = [
            (event.event_id, event.payload.model_dump(mode="json", exclude_none=True))
            for event in events
            if isinstance(event.payload, Chunk)
        ]
        key = redis_keys.connector_chunks(str(meeting_id))
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(redis_keys.connector_state(str(session_id)), state, ex=RETENTION_S)
            if appended:
                pipeline.set(redis_keys.connector_pending(str(session_id)), json.dumps(pending), ex=RETENTION_S)
                pipeline.hset(key, mapping={item.chunk.chunk_id: _dump(item) for item in appended})
                pipeline.expire(key, RETENTION_S)
            await pipeline.execute()

    async def clear_pending(self, session_id: UUID) -> None:
        """Record that all events of a session are in the log."""
        await self._redis.delete(redis_keys.connector_pending(str(session_id)))


def _dump(appended: AppendedChunk) -> str:
    chunk = appended.chunk.model_dump(mode="json", exclude_none=True)
    return json.dumps(
        {
            "chunk": chunk,
            "at": appended.appended_at_ms,
            "added": appended.is_added,
            "longest": appended.longest_end,
        }
    )
