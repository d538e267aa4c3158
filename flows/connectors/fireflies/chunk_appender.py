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

from operators.characters import is_blank
from operators.entries import Chunk
from operators.errors import NotFoundError, ParleyError
from operators.fields import MAX_NAME_CHARS
from operators.sources.alignment import SAME_START_S, KnownChunk, align_transcript
from operators.sources.fireflies import SENTENCE_ID_PREFIX
from storage.ingest.connector_memory import AppendedChunk, ConnectorMemory
from storage.ingest.meeting_service import MeetingService
from storage.postgres import transcript_queries
from storage.postgres.connector_sessions import ConnectorSession
from storage.redis_log.event_log import NewEvent

RETRY_S = 0.5
"""Seconds between two attempts while a store does not respond."""
OPEN_MS = 100_000
"""Milliseconds after its last revision within which a chunk surely accepts another one."""

SAME_END_S = 0.05
"""Maximum difference of two ends of the same speech, in seconds: sources round them."""

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
        self._chunks: dict[str, AppendedChunk] = {}
        self._earlier_ids: frozenset[str] = frozenset()
        self._starts_over = False
        self.lock = asyncio.Lock()

    async def restore(self) -> str | None:
        """Load what an earlier run knew, and append what it may not have appended.

        Returns:
            The adapter's state as JSON, or None.
        """
        state = await self.retry(lambda: self._memory.load_state(self._record.id))
        self._chunks = await self.retry(lambda: self._memory.load_chunks(self._record.meeting_id))
        if not self._chunks:
            await self.retry(self._load_sentences)
        if pending := await self.retry(lambda: self._memory.load_pending(self._record.id)):
            await self._append_events(pending)
        return state

    async def _load_sentences(self) -> None:
        """Take the meeting's stored sentences for its chunks: Redis lost those, or the meeting had another source."""
        async with self._database.connect() as conn:
            sentences = await transcript_queries.read_sentences(conn, self._record.team_id, self._record.meeting_id)
        for sentence in sentences:
            chunk = Chunk(
                chunk_id=f"stored {sentence.id}"[:MAX_NAME_CHARS],
                speaker=sentence.speaker,
                speaker_id=sentence.speaker_id,
                text=sentence.text,
                start=sentence.start,
                end=sentence.end,
            )
            self._chunks[chunk.chunk_id] = AppendedChunk(chunk, 0)

    def speech_end(self) -> float:
        """Return the end of the latest speech, in seconds from the meeting's start."""
        return max((item.chunk.end for item in self._chunks.values()), default=0.0)

    def begin_connection(self) -> None:
        """Record that a connection begins: a service that starts over repeats earlier states of the chunks known by now."""
        self._earlier_ids, self._starts_over = frozenset(self._chunks), False

    async def append(self, chunks: Sequence[Chunk], state: str) -> None:
        """Append the chunks that differ from their latest revision, and are no earlier state of it.

        Args:
            chunks: the chunks, in order.
            state: the adapter's state after them, as JSON.

        Raises:
            SessionOverError: the meeting is over.
        """
        async with self.lock:
            known = [self._to_known_chunk(chunk) for chunk in chunks]
            self._counters["repeated"] += known.count(None)
            await self._append_changed([chunk for chunk in known if chunk is not None], state)

    def _to_known_chunk(self, chunk: Chunk) -> Chunk | None:
        """Return a live chunk under its id in the log, or None if it is an earlier state of what the log has."""
        latest = self._chunks.get(chunk.chunk_id) or self._find_filled(chunk)
        if latest is None:
            return chunk
        known_id = latest.chunk.chunk_id
        if chunk.end < latest.chunk.end - SAME_END_S and (known_id != chunk.chunk_id or known_id in self._earlier_ids):
            self._starts_over |= known_id in self._earlier_ids
            return None
        is_longer = chunk.end > latest.chunk.end + SAME_END_S
        if self._starts_over and not is_longer and latest.appended_at_ms <= time.time() * 1000 - OPEN_MS:
            # Another wording from earlier, which the log would refuse as late.
            return None
        return chunk.model_copy(update={"chunk_id": known_id})

    def _find_filled(self, chunk: Chunk) -> AppendedChunk | None:
        """Return the chunk that a gap was filled with, if it is the same speech: its id is not the live one."""
        if chunk.end <= chunk.start:
            # A message without times says nothing about its place.
            return None
        for item in self._chunks.values():
            known = item.chunk
            if (
                known.chunk_id.startswith(SENTENCE_ID_PREFIX)
                and not is_blank(known.text)
                and (known.speaker, known.speaker_id) == (chunk.speaker, chunk.speaker_id)
                and abs(known.start - chunk.start) <= SAME_START_S
            ):
                return item
        return None

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
        # The transcript of a service that lags, or that started over, ends before what came live.
        transcript_end = max((sentence.end for sentence in sentences), default=0.0) + SAME_END_S
        async with self.lock:
            known = [
                KnownChunk(
                    item.chunk,
                    is_open=item.appended_at_ms > requested_at_ms - OPEN_MS,
                    is_newer=item.appended_at_ms >= requested_at_ms or item.chunk.end > transcript_end,
                )
                for item in self._chunks.values()
            ]
            changes = await asyncio.to_thread(align_transcript, known, sentences, from_s)
            await self._append_changed(changes, state)
        return len(changes)

    async def _append_changed(self, chunks: Sequence[Chunk], state: str) -> None:
        at_ms = round(time.time() * 1000)
        changed: dict[str, AppendedChunk] = {}
        events: list[NewEvent] = []
        for chunk in chunks:
            latest = changed.get(chunk.chunk_id) or self._chunks.get(chunk.chunk_id)
            if latest is not None and latest.chunk == chunk:
                self._counters["repeated"] += 1
                continue
            changed[chunk.chunk_id] = AppendedChunk(chunk, at_ms)
            events.append(NewEvent(str(uuid7()), chunk))
        if not events:
            return
        record = self._record
        await self.retry(lambda: self._memory.store(record.id, record.meeting_id, state, events, at_ms))
        self._chunks |= changed
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
        """Call a store until it responds.

        Raises:
            SessionOverError: the meeting was deleted.
        """
        has_failed = False
        while True:
            try:
                result = await call()
                if has_failed:
                    self._on_problem(None)
                return result
            except NotFoundError:
                raise SessionOverError("the meeting was deleted") from None
            except (redis.RedisError, SQLAlchemyError, ParleyError) as error:
                has_failed = True
                self._on_problem(f"a store does not respond ({type(error).__name__})")
                await asyncio.sleep(RETRY_S)
