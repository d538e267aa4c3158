"""The note writer: writes due notes. Those are notes that a lane gave up, that failed, or whose sentences changed.

An outage of the insight service is waited out. Any other failure is counted. After `MAX_FAILURES` of them, with growing pauses, a
note is tried again each hour only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import redis
from sqlalchemy import Engine

from flows.jobs.due_calls import CallFailure, DueCalls, OutagePauses, describe_failure
from operators.errors import MalformedResponseError
from operators.insight_requests import Insight
from operators.note_requests import WriteNote
from storage.notes.due_notes import DueNote, read_due_notes
from storage.notes.note_records import NoteResult
from storage.notes.note_writes import withdraw, write_failure, write_texts
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.redis_log.live_pubsub import publish_events

MAX_CALLS = 4
"""Notes that are written at once."""
POLL_S = 0.5
"""Seconds between two checks for due notes."""
CALL_TIMEOUT_S = 120.0
"""Timeout of one call, in seconds."""
MAX_FAILURES = 5
"""Failures, outages aside, after which a note is tried each hour only."""
FIRST_PAUSE_S, PAUSE_FACTOR = 2.0, 4.0
"""Seconds before the second attempt, and the factor by which each further pause grows."""
LAST_PAUSE_S = 3600.0
"""Seconds between two attempts after `MAX_FAILURES`."""
MAX_OUTAGE_PAUSE_S = 15.0
"""Longest pause before a note is tried again during an outage, in seconds."""


class NoteWriter(DueCalls[DueNote]):
    """Writes due notes, fairly between meetings.

    Args:
        engine: the database.
        connection: Redis, where the live events are published.
        write_note: the insight service. It raises `UnavailableError` during an outage.
        is_configured: whether an engine serves insights. Notes wait until one does.
    """

    def __init__(
        self,
        engine: Engine,
        connection: redis.Redis,
        write_note: WriteNote,
        is_configured: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(MAX_CALLS, POLL_S)
        self._engine, self._redis = engine, connection
        self._write_note, self._is_configured = write_note, is_configured
        self._pauses = OutagePauses(MAX_OUTAGE_PAUSE_S)

    async def _read_due(self, except_ids: Sequence[UUID], limit: int) -> list[DueNote]:
        if not self._is_configured():
            return []

        def read() -> list[DueNote]:
            with self._engine.connect() as connection:
                return read_due_notes(connection, except_ids, limit)

        return await asyncio.to_thread(read)

    async def _process(self, item: DueNote) -> None:
        if not item.request.sentences:
            await asyncio.to_thread(self._store, item, None)
            return
        async with asyncio.timeout(CALL_TIMEOUT_S):
            insight = await self._write_note(item.request)
        if not insight.text.strip():
            raise MalformedResponseError("the engine gave no text")
        await asyncio.to_thread(self._store, item, insight)
        self._pauses.forget(item.key)

    async def _record_failure(self, item: DueNote, error: BaseException) -> None:
        failure = describe_failure(error)
        if failure.is_outage:
            wait_s = self._pauses.next_s(item.key)
        elif item.failures + 1 < MAX_FAILURES:
            wait_s = FIRST_PAUSE_S * PAUSE_FACTOR**item.failures
        else:
            wait_s = LAST_PAUSE_S
        await asyncio.to_thread(self._store_failure, item, failure, wait_s)

    def _store(self, note: DueNote, insight: Insight | None) -> None:
        """Store a note's text, or withdraw the note."""
        result = NoteResult(note.request, insight, retracted=note.retracted)
        with self._engine.begin() as connection:
            transaction = MeetingTransaction(connection, [note.request.meeting_id])
            if insight is None:
                withdraw(connection, transaction, result)
            else:
                write_texts(connection, transaction, [result])
            events = transaction.flush()
        publish_events(self._redis, events)

    def _store_failure(self, note: DueNote, failure: CallFailure, wait_s: float) -> None:
        with self._engine.begin() as connection:
            transaction = MeetingTransaction(connection, [note.request.meeting_id])
            write_failure(
                connection,
                transaction,
                note.key,
                failure.reason,
                wait_s,
                counts=not failure.is_outage,
                due_at=note.due_at,
            )
            events = transaction.flush()
        publish_events(self._redis, events)
