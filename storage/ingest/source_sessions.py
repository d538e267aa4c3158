"""The states of sources' sessions, in Redis. A lock keeps two replicas from updating a session at the same time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

import redis.asyncio
from redis.exceptions import LockError, LockNotOwnedError

from operators.errors import UnavailableError
from storage import redis_keys

RETENTION_S = 24 * 3600
"""Seconds for which a state is kept after the session's last message."""
LOCK_TIMEOUT_S = 30.0
"""Seconds after which a lock of a process that died expires. An update takes milliseconds."""
WAIT_S = 10.0
"""Seconds to wait for a session's lock."""


class SourceSessions:
    """The states of sources' sessions.

    Args:
        client: a client that decodes its responses.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    @asynccontextmanager
    async def lock(self, meeting_id: str, source: str, session: str) -> AsyncGenerator[None]:
        """Lock a session for as long as the context lasts.

        Raises:
            UnavailableError: another process holds the lock for too long.
        """
        name = redis_keys.source_session_lock(meeting_id, source, session)
        lock = self._redis.lock(name, timeout=LOCK_TIMEOUT_S, sleep=0.02, blocking_timeout=WAIT_S)
        try:
            acquired = await lock.acquire()
        except LockError:
            acquired = False
        if not acquired:
            raise UnavailableError(f"the session {session} is busy; send the message again")
        try:
            yield
        finally:
            # It expired meanwhile. Chunk ids are derived from content, so a second update adds no words.
            with suppress(LockNotOwnedError):
                await lock.release()

    async def read(self, meeting_id: str, source: str, session: str) -> str | None:
        """Read a session's state; None if Redis has none."""
        return cast("str | None", await self._redis.get(redis_keys.source_session(meeting_id, source, session)))

    async def write(self, meeting_id: str, source: str, session: str, state: str) -> None:
        """Write a session's state."""
        await self._redis.set(redis_keys.source_session(meeting_id, source, session), state, ex=RETENTION_S)
