"""Appends a session's chunks to its meeting's log, each revision once.

A crash at any point loses and doubles nothing: events are stored in Redis before they are appended, and appended again under
the same ids after a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

import redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid6 import uuid7

from flows.connectors.fireflies.appended_chunks import AppendedChunks
from operators.entries import Chunk
from operators.errors import NotFoundError, ParleyError
from operators.fields import MAX_NAME_CHARS
from operators.sources.alignment import align_transcript
from operators.stream import Sentence
from storage.cancellation import raise_if_cancelled
from storage.ingest.connector_memory import AppendedChunk, ConnectorMemory
from storage.ingest.meeting_service import MeetingService
from storage.postgres import transcript_queries
from storage.postgres.connector_sessions import ConnectorSession
from storage.redis_log.event_log import NewEvent

RETRY_S = 0.5
"""Seconds between two attempts while a store does not respond."""
ResultT = TypeVar("ResultT")


class SessionOverError(ParleyError):
    """The session is over.

    Args:
        message: the cause, for the user.
        status: the session's final status.
    """

    def __init__(self, message: str, status: Literal["failed", "ended"] = "failed") -> None:
        super().__init__(message)
        self.status: Literal["failed", "ended"] = status


class ChunkAppender:
    """Appends chunks, and remembers the latest revision of each.

    Attributes:
        chunks: the latest revision of each chunk.
        lock: held during an append.

    Args:
        record: the session's row.
        database: the database.
        meetings: the service that appends to the log.
        memory: the memory in Redis.
        counters: counts the events by outcome.
        on_problem: called with the cause, for the user, if a store does not respond, and with None once it does.
    """

    def __init__(
        self,
        record: ConnectorSession,
        database: AsyncEngine,
        meetings: MeetingService,
        memory: ConnectorMemory,
        counters: Counter[str],
        on_problem: Callable[[str | None], None],
    ) -> None:
        self._record, self._database, self._meetings, self._memory = record, database, meetings, memory
        self._counters, self._on_problem = counters, on_problem
        self.chunks = AppendedChunks()
        self.lock = asyncio.Lock()

    async def restore(self) -> str | None:
        """Load what an earlier run knew, and append what it may not have appended.

        Returns:
            The adapter's state as JSON, or None.
        """
        state = await self.retry(lambda: self._memory.load_state(self._record.id))
        known = await self.retry(lambda: self._memory.load_chunks(self._record.meeting_id))
        self.chunks.remember(known.values())
        if not self.chunks:
            await self.retry(self._load_sentences)
        if pending := await self.retry(lambda: self._memory.load_pending(self._record.id)):
            await self._append_events(pending)
        if failure_count := self._counters["persistence_failures"]:
            # A call that the earlier run was repeating is done now.
            self._counters["persistence_recoveries"] = failure_count
        return state

    async def _load_sentences(self) -> None:
        """Take the meeting's stored sentences for its chunks: Redis lost those, or the meeting had another source."""
        async with self._database.connect() as conn:
            sentences = await transcript_queries.read_sentences(conn, self._record.team_id, self._record.meeting_id)
        self.chunks.remember(_from_sentence(sentence) for sentence in sentences)

    async def append(self, chunks: Sequence[Chunk], state: str) -> None:
        """Append the live chunks that differ from their latest revision, and are no earlier state of it.

        What a transcript added makes room for them.

        Args:
            chunks: the chunks, in order.
            state: the adapter's state after them, as JSON.

        Raises:
            SessionOverError: the meeting is over.
        """
        async with self.lock:
            appended, repeated_count = self.chunks.changes_by_messages(chunks, _now_ms())
            self._counters["repeated"] += repeated_count
            await self._store_and_append(appended, state)

    async def align(self, sentences: Sequence[Chunk], from_s: float, requested_at_ms: int, state: str) -> int:
        """Compare a transcript with the chunks, and append what is missing.

        Args:
            sentences: the transcript's sentences.
            from_s: where the comparison begins, in seconds from the meeting's start.
            requested_at_ms: when the transcript was requested (ms). Chunks that changed since are not revised.
            state: the adapter's state, as JSON.

        Returns:
            The number of chunks appended.

        Raises:
            SessionOverError: the meeting is over.
        """
        async with self.lock:
            known = self.chunks.known_to(sentences, requested_at_ms)
            aligned = await asyncio.to_thread(align_transcript, known, sentences, from_s)
            appended, repeated_count = self.chunks.changes_by_transcript(aligned, _now_ms())
            self._counters["repeated"] += repeated_count
            await self._store_and_append(appended, state)
        return len(appended)

    async def _store_and_append(self, appended: Sequence[AppendedChunk], state: str) -> None:
        if not appended:
            return
        record = self._record
        events = [NewEvent(str(uuid7()), item.chunk) for item in appended]
        await self.retry(lambda: self._memory.store(record.id, record.meeting_id, state, events, appended))
        self.chunks.remember(appended)
        await self._append_events(events)

    async def _append_events(self, events: Sequence[NewEvent]) -> None:
        record = self._record
        results = await self.retry(lambda: self._meetings.append(record.team_id, record.meeting_id, events))
        await self.retry(lambda: self._memory.clear_pending(record.id))
        for result in results:
            self._counters["appended" if result.outcome == "accepted" else result.outcome] += 1
        reasons = {result.reason for result in results}
        if "ended" in reasons:
            raise SessionOverError("the meeting is over", "ended")
        if "failed" in reasons:
            raise SessionOverError("the meeting failed")

    async def retry(self, call: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Call a store until it responds. A call that fails is counted once, and once more when it succeeds.

        Raises:
            SessionOverError: the meeting was deleted.
        """
        has_failed = False
        while True:
            try:
                result = await call()
                if has_failed:
                    self._counters["persistence_recoveries"] += 1
                    self._on_problem(None)
                return result
            except NotFoundError:
                raise SessionOverError("the meeting was deleted") from None
            except (redis.RedisError, SQLAlchemyError, ParleyError) as error:
                raise_if_cancelled()
                self._counters["persistence_failures"] += not has_failed
                has_failed = True
                self._on_problem(f"a store does not respond ({type(error).__name__})")
                await asyncio.sleep(RETRY_S)


def _from_sentence(sentence: Sentence) -> AppendedChunk:
    chunk = Chunk(
        chunk_id=f"stored {sentence.id}"[:MAX_NAME_CHARS],
        speaker=sentence.speaker,
        speaker_id=sentence.speaker_id,
        text=sentence.text,
        start=sentence.start,
        end=sentence.end,
    )
    return AppendedChunk(chunk, 0, is_added=True)


def _now_ms() -> int:
    return round(time.time() * 1000)
