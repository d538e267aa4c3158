"""Appends a session's chunks to its meeting's log, each revision once.

A crash at any point loses and doubles nothing: events are stored in Redis before they are appended, and appended again under
the same ids after a restart.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import ChainMap, Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid6 import uuid7

from operators.characters import is_blank
from operators.entries import Chunk
from operators.errors import NotFoundError, ParleyError
from operators.fields import MAX_NAME_CHARS
from operators.sources.alignment import SAME_START_S, KnownChunk, align_revision, align_transcript, is_near
from operators.sources.fireflies import SENTENCE_ID_PREFIX
from storage.cancellation import raise_if_cancelled
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
        # The ids of the chunks that a transcript added: all, and those that may still change. Few messages are near one of
        # them, and to compare all chunks at each message would take too long.
        self._filled_ids: set[str] = set()
        self._open_added_ids: set[str] = set()
        self._earlier_ids: frozenset[str] = frozenset()
        self._starts_over = False
        self.lock = asyncio.Lock()

    async def restore(self) -> str | None:
        """Load what an earlier run knew, and append what it may not have appended.

        Returns:
            The adapter's state as JSON, or None.
        """
        state = await self.retry(lambda: self._memory.load_state(self._record.id))
        self._remember(await self.retry(lambda: self._memory.load_chunks(self._record.meeting_id)))
        if not self._chunks:
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
        for sentence in sentences:
            chunk = Chunk(
                chunk_id=f"stored {sentence.id}"[:MAX_NAME_CHARS],
                speaker=sentence.speaker,
                speaker_id=sentence.speaker_id,
                text=sentence.text,
                start=sentence.start,
                end=sentence.end,
            )
            self._chunks[chunk.chunk_id] = AppendedChunk(chunk, 0, is_added=True)

    def speech_end(self) -> float:
        """Return the end of the latest speech, in seconds from the meeting's start."""
        return max((item.chunk.end for item in self._chunks.values()), default=0.0)

    def begin_connection(self) -> None:
        """Record that a connection begins: a service that starts over repeats earlier states of the chunks known by now."""
        self._earlier_ids, self._starts_over = frozenset(self._chunks), False

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
            at_ms = round(time.time() * 1000)
            appended: list[AppendedChunk] = []
            latest = ChainMap[str, AppendedChunk]({}, self._chunks)
            for live_chunk in chunks:
                chunk = self._to_known_chunk(live_chunk, latest)
                if chunk is None or self._is_repeat(chunk, latest):
                    self._counters["repeated"] += 1
                    continue
                changes = [*self._make_room(chunk, latest, at_ms), AppendedChunk(chunk, at_ms)]
                appended += changes
                self._note_added(changes)
                latest.update({change.chunk.chunk_id: change for change in changes})
            await self._store_and_append(appended, state)

    def _to_known_chunk(self, chunk: Chunk, known: Mapping[str, AppendedChunk]) -> Chunk | None:
        """Return a live chunk under its id in the log, or None if it is an earlier state of what the log has."""
        latest = known.get(chunk.chunk_id) or self._find_filled(chunk, known)
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

    def _find_filled(self, chunk: Chunk, known: Mapping[str, AppendedChunk]) -> AppendedChunk | None:
        """Return the chunk that a gap was filled with, if it is the same speech: its id is not the live one."""
        if chunk.end <= chunk.start:
            # A message without times says nothing about its place.
            return None
        for item in (known[chunk_id] for chunk_id in self._filled_ids if chunk_id in known):
            filled = item.chunk
            if (
                not is_blank(filled.text)
                and (filled.speaker, filled.speaker_id) == (chunk.speaker, chunk.speaker_id)
                and abs(filled.start - chunk.start) <= SAME_START_S
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
            known = [_to_known(item, requested_at_ms, transcript_end) for item in self._chunks.values()]
            changes = await asyncio.to_thread(align_transcript, known, sentences, from_s)
            at_ms = round(time.time() * 1000)
            appended: list[AppendedChunk] = []
            for chunk in changes:
                if self._is_repeat(chunk, self._chunks):
                    self._counters["repeated"] += 1
                    continue
                before = self._chunks.get(chunk.chunk_id)
                appended.append(AppendedChunk(chunk, at_ms, is_added=before is None or before.is_added))
            await self._store_and_append(appended, state)
        return len(changes)

    @staticmethod
    def _is_repeat(chunk: Chunk, latest: Mapping[str, AppendedChunk]) -> bool:
        """Return whether a chunk is equal to its latest revision."""
        before = latest.get(chunk.chunk_id)
        return before is not None and before.chunk == chunk

    def _make_room(self, chunk: Chunk, latest: Mapping[str, AppendedChunk], at_ms: int) -> list[AppendedChunk]:
        """Return the changes of what a transcript added, so that it does not repeat a live chunk's words."""
        added = [latest[chunk_id] for chunk_id in self._open_added_ids if chunk_id in latest]
        added = [item for item in added if item.is_added and item.appended_at_ms > at_ms - OPEN_MS]
        self._open_added_ids = {item.chunk.chunk_id for item in added}
        if not any(is_near(item.chunk, chunk) for item in added):
            return []
        known = [_to_known(item, at_ms) for item in latest.values()]
        return [AppendedChunk(change, at_ms, is_added=True) for change in align_revision(known, chunk)]

    async def _store_and_append(self, appended: Sequence[AppendedChunk], state: str) -> None:
        if not appended:
            return
        record = self._record
        events = [NewEvent(str(uuid7()), item.chunk) for item in appended]
        await self.retry(lambda: self._memory.store(record.id, record.meeting_id, state, events, appended))
        self._remember({item.chunk.chunk_id: item for item in appended})
        await self._append_events(events)

    def _remember(self, appended: Mapping[str, AppendedChunk]) -> None:
        self._chunks |= appended
        self._note_added(appended.values())

    def _note_added(self, items: Iterable[AppendedChunk]) -> None:
        added_ids = {item.chunk.chunk_id for item in items if item.is_added}
        self._open_added_ids |= added_ids
        self._filled_ids |= {chunk_id for chunk_id in added_ids if chunk_id.startswith(SENTENCE_ID_PREFIX)}

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


def _to_known(item: AppendedChunk, at_ms: int, transcript_end: float = math.inf) -> KnownChunk:
    """Return a chunk as it was at a time (ms). Speech after the end of a transcript (s) counts as newer."""
    return KnownChunk(
        item.chunk,
        is_open=item.appended_at_ms > at_ms - OPEN_MS,
        is_newer=item.appended_at_ms >= at_ms or item.chunk.end > transcript_end,
        is_added=item.is_added,
    )
