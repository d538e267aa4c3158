"""A session: the connection of Parley to one live meeting on Fireflies, until the meeting ends or the user disconnects.

Each message becomes a chunk of the meeting's log. Without a connection the session reconnects with growing pauses, and then
fills the gap from the transcript.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies.chunk_appender import ChunkAppender, SessionOverError
from flows.connectors.fireflies.gap_policy import policy_of
from flows.connectors.fireflies.realtime import RealtimeConnection, RealtimeMessage, connect
from operators.address_check import AddressRule
from operators.entries import Chunk
from operators.errors import InvalidInputError, MisconfiguredError, NotFoundError, OverloadedError, ParleyError
from operators.fields import MAX_NAME_CHARS
from operators.sources import AdapterContext, restore_state
from operators.sources.fireflies import FIREFLIES, FirefliesState, require_object, sentence_to_chunk, step
from storage.cancellation import cancel_tasks, raise_if_cancelled
from storage.ingest.connector_memory import ConnectorMemory
from storage.ingest.meeting_service import MeetingService
from storage.postgres import connector_sessions
from storage.postgres.connector_sessions import ConnectorSession, Gap, SessionProgress, SessionStatus
from storage.source_apis.fireflies import FirefliesApi

log = structlog.get_logger(__name__)

FIRST_RECONNECT_S, MAX_RECONNECT_S = 0.5, 30.0
"""Seconds before a reconnect. The pause doubles from the first value up to the maximum, with full jitter."""
MAX_SILENCE_S = 3 * 3600
"""Seconds without a message after which a session ends. Fireflies sends no end of the meeting."""
MAX_FINAL_ATTEMPTS, MAX_FINAL_WAIT_S = 5, 120.0
"""Number of attempts to fill the last gaps, and the longest pause between two of them, in seconds."""
FIRST_FINAL_PAUSE_S = 3.0
"""Seconds before another attempt if the transcript ended before a gap. The pause doubles each time."""
STORE_INTERVAL_S = 1.0
"""Seconds between two writes of a session's progress."""
ALIGNED_BEFORE_GAP_S = 60.0
"""Seconds of speech before a gap that are compared with the transcript as well."""


@dataclass(frozen=True, slots=True)
class SessionStores:
    """The stores of a session."""

    database: AsyncEngine
    meetings: MeetingService
    memory: ConnectorMemory


class FirefliesSession:
    """Runs one session.

    Args:
        record: the session's row.
        api: the API, with its address, the account's key and plan.
        stores: the stores.
        rule: the addresses that are allowed.
    """

    def __init__(
        self,
        record: ConnectorSession,
        api: FirefliesApi,
        stores: SessionStores,
        rule: AddressRule,
    ) -> None:
        self._record, self._api, self._stores, self._rule = record, api, stores, rule
        self._policy = policy_of(api.budget.plan)
        self._counters = Counter(record.counters)
        self._gaps: list[Gap] = list(record.gaps)
        self._status: SessionStatus = record.status
        self._last_error = record.last_error
        self._connected_at, self._last_message_at = record.connected_at, record.last_message_at
        self._state = FirefliesState()
        self._appender = ChunkAppender(
            record, stores.database, stores.meetings, stores.memory, self._counters, self._set_error
        )
        self._stored_progress: SessionProgress | None = None
        self._started_at = datetime.now(UTC)
        self._stop_requested, self._gap_found = asyncio.Event(), asyncio.Event()

    def _set_error(self, cause: str | None) -> None:
        self._last_error = cause

    def request_stop(self) -> None:
        """Disconnect, fill the gaps that are left, and end the meeting."""
        self._stop_requested.set()

    async def run(self) -> None:
        """Run until the session is over. If the task is cancelled, a later run continues the session."""
        await self._restore()
        jobs = (self._stream(), self._fill_gaps(), self._report(), self._stop_requested.wait())
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # No append is in progress while the tasks are cancelled, so the memory is equal to the log.
            async with self._appender.lock:
                results = await cancel_tasks(tasks)
        except asyncio.CancelledError:
            await cancel_tasks(tasks)
            raise
        finally:
            await self._store_progress()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, SessionOverError):
                raise result
        await self._finish(next((result for result in results if isinstance(result, SessionOverError)), None))

    async def _restore(self) -> None:
        # The status of an earlier run, which had no time to store its end, is not that of this run.
        self._status = self._status_without_connection()
        self._state = restore_state(FIREFLIES, await self._appender.restore())
        # The meeting may have begun before the session, and it continued while the connector did not run.
        self._begin_gap()

    # The stream

    async def _stream(self) -> None:
        """Connect, read, and reconnect."""
        failures = 0
        while True:
            try:
                async with connect(
                    self._api.base_url, self._api.api_key, self._record.external_id, self._rule
                ) as connection:
                    self._on_connected()
                    message_count = self._counters["messages"]
                    await self._read(connection)
                    if self._counters["messages"] > message_count:
                        failures = 0
            except MisconfiguredError as error:
                raise SessionOverError(str(error)) from None
            except SessionOverError:
                raise
            except ParleyError as error:
                self._last_error = str(error)
            failures += 1
            self._begin_gap()
            self._status = self._status_without_connection()
            self._counters["disconnects"] += 1
            await asyncio.sleep(random.uniform(0, min(MAX_RECONNECT_S, FIRST_RECONNECT_S * 2**failures)))  # noqa: S311 - jitter is no secret

    def _status_without_connection(self) -> SessionStatus:
        return "reconnecting" if self._connected_at else "connecting"

    async def _read(self, connection: RealtimeConnection) -> None:
        while True:
            messages = await connection.read()
            await self._process(messages)
            if any(message.kind == "closed" for message in messages):
                return

    def _on_connected(self) -> None:
        self._appender.chunks.begin_connection()
        self._status = "connected"
        self._last_error = None
        self._connected_at = datetime.now(UTC)
        self._counters["connects"] += 1
        if self._gaps:
            self._gap_found.set()

    def _begin_gap(self) -> None:
        """Record that speech from now on may be missing. An open gap continues."""
        if not self._gaps or self._gaps[-1][1] is not None:
            self._gaps.append((self._appender.chunks.last_change_start(), None))

    def _end_gap(self, start: float) -> None:
        if self._gaps and self._gaps[-1][1] is None:
            self._gaps[-1] = (self._gaps[-1][0], max(start, self._gaps[-1][0]))

    async def _process(self, messages: Sequence[RealtimeMessage]) -> None:
        """Turn messages into chunks and append them. A wrong message fails alone."""
        chunks: list[Chunk] = []
        for message in messages:
            match message.kind:
                case "broadcast":
                    chunks += self._map(message.content)
                case "error":
                    self._counters["errors"] += 1
                    self._last_error = _error_text(message.content)
                    if isinstance(message.content, MisconfiguredError):
                        raise SessionOverError(str(message.content))
                case "overflow":
                    self._counters["overflows"] += 1
                    self._begin_gap()
                    self._gap_found.set()
                case "closed":
                    pass
        if chunks:
            self._last_message_at = datetime.now(UTC)
            await self._append(chunks)

    def _map(self, content: Any) -> list[Chunk]:
        self._counters["messages"] += 1
        try:
            self._state, chunks = step(self._state, require_object(content), AdapterContext())
        except InvalidInputError as error:
            self._counters["invalid"] += 1
            self._last_error = f"a message was ignored: {error}"
            return []
        if not chunks:
            self._counters["ignored"] += 1
        for chunk in chunks:
            self._end_gap(chunk.start)
        return chunks

    async def _append(self, chunks: Sequence[Chunk]) -> None:
        await self._appender.append(chunks, self._state.model_dump_json())

    # The gaps

    async def _fill_gaps(self) -> None:
        """Fill gaps while the meeting runs, as the policy allows it."""
        while True:
            await self._gap_found.wait()
            self._gap_found.clear()
            wait_s: float | None = self._policy.delay_s
            while wait_s is not None and wait_s < math.inf and self._may_request(self._policy.max_live_requests):
                await asyncio.sleep(wait_s)
                wait_s = await self._fill_once()

    def _may_request(self, limit: int | None) -> bool:
        """Return whether there is a gap, and the meeting's requests are below a limit."""
        return bool(self._gaps) and (limit is None or self._counters["transcript_requests"] < limit)

    async def _fill_once(self) -> float | None:
        """Request the transcript and append what is missing.

        Returns:
            Seconds to wait before another attempt, infinite if it would be refused as well; None if there was an answer.
        """
        gaps = [gap for gap in self._gaps if gap[1] is not None or self._status == "connected"]
        if not gaps:
            return None
        requested_at_ms, gap_start = round(time.time() * 1000), self._appender.chunks.last_change_start()
        disconnect_count = self._counters["disconnects"]
        try:
            self._counters["transcript_requests"] += 1
            sentences = await self._api.read_sentences(self._record.external_id)
        except OverloadedError as error:
            self._counters["transcript_requests"] -= 1
            self._last_error = f"a gap is not filled yet: {error.fix}"
            return float(error.retry_after_s)
        except (NotFoundError, MisconfiguredError, InvalidInputError) as error:
            self._last_error = f"a gap is not filled: {error}"
            return math.inf
        except ParleyError as error:
            self._last_error = f"a gap is not filled yet: {error}"
            return getattr(error, "retry_after_s", None) or MAX_RECONNECT_S
        chunks = self._read_sentences(sentences)
        from_s = min(start for start, _ in gaps) - ALIGNED_BEFORE_GAP_S
        state = self._state.model_dump_json()
        self._counters["filled"] += await self._appender.align(chunks, from_s, requested_at_ms, state)
        transcript_end = max((chunk.end for chunk in chunks), default=0.0)
        filled = [(start, end) for start, end in gaps if transcript_end >= (start if end is None else end)]
        self._gaps = [gap for gap in self._gaps if gap not in filled]
        if len(filled) < len(gaps) and self._policy.retry_s is not None:
            # The transcript of a service that lags, or that started over, doesn't reach the gap yet.
            asyncio.get_running_loop().call_later(self._policy.retry_s, self._gap_found.set)
        if self._counters["disconnects"] > disconnect_count and (not self._gaps or self._gaps[-1][1] is not None):
            # The connection was lost after the request, so the transcript may lack what followed.
            self._gaps.append((gap_start, None))
        return None

    def _read_sentences(self, sentences: Sequence[Mapping[str, Any]]) -> list[Chunk]:
        chunks: dict[str, Chunk] = {}
        for sentence in sentences:
            try:
                chunk = sentence_to_chunk(sentence)
            except InvalidInputError as error:
                self._counters["invalid"] += 1
                self._last_error = f"a sentence of the transcript was ignored: {error}"
                continue
            if chunk.chunk_id in chunks:
                # A second sentence of the same speaker at the same time.
                chunk = chunk.model_copy(update={"chunk_id": f"{chunk.chunk_id[: MAX_NAME_CHARS - 8]} {len(chunks)}"})
            chunks[chunk.chunk_id] = chunk
        return list(chunks.values())

    # The end

    async def _finish(self, cause: SessionOverError | None) -> None:
        """Fill the gaps that are left, and close the session. On the user's request, end the meeting, too."""
        # Messages may have been received that were not read any more.
        self._begin_gap()
        with suppress(SessionOverError):
            await self._fill_finally()
            if cause is None:
                end = "the session was disconnected"
                await self._appender.retry(
                    lambda: self._stores.meetings.end(self._record.team_id, self._record.meeting_id, end)
                )
        if cause is None:
            self._status = "ended"
        else:
            self._status, self._last_error = cause.status, str(cause)
        await self._store_progress()

    async def _fill_finally(self) -> None:
        """Fill the gaps that are left, with a few attempts. An import has what stays missing."""
        if self._connected_at is None:
            self._gaps.clear()
            return
        self._gaps = [(start, start if end is None else end) for start, end in self._gaps]
        wait_s, pause_s = 0.0, FIRST_FINAL_PAUSE_S
        for _ in range(MAX_FINAL_ATTEMPTS):
            if wait_s > MAX_FINAL_WAIT_S or not self._may_request(self._policy.max_requests):
                break
            await asyncio.sleep(wait_s)
            answer = await self._fill_once()
            if not self._gaps:
                return
            wait_s = pause_s if answer is None else answer
            if answer is None:
                self._last_error = "a gap is not filled: the transcript ends before it"
                pause_s *= 2
            await self._store_progress()
        cause = self._last_error or "a gap is not filled"
        self._last_error = f"{cause}; an import of the transcript has all of the meeting"

    async def _report(self) -> None:
        """Store the progress regularly, and end a session that has been silent for too long."""
        while True:
            raise_if_cancelled()
            await asyncio.sleep(STORE_INTERVAL_S)
            await self._store_progress()
            active_at = max(self._last_message_at or self._started_at, self._started_at)
            if (datetime.now(UTC) - active_at).total_seconds() > MAX_SILENCE_S:
                raise SessionOverError(f"no message for {MAX_SILENCE_S // 3600} hours", "ended")

    async def _store_progress(self) -> None:
        progress = SessionProgress(
            self._status,
            dict(self._counters),
            self._last_error,
            tuple(self._gaps),
            self._connected_at,
            self._last_message_at,
        )
        if progress == self._stored_progress:
            return
        try:
            async with self._stores.database.begin() as conn:
                await connector_sessions.store_progress(conn, self._record.id, progress)
        except SQLAlchemyError as error:
            log.warning("session progress not stored", session=str(self._record.id), error=type(error).__name__)
            return
        self._stored_progress = progress


def _error_text(content: Any) -> str:
    """Return a short text for an error that the service reports."""
    if isinstance(content, ParleyError):
        return str(content)
    message = cast("Mapping[str, Any]", content).get("message") if isinstance(content, Mapping) else None
    if isinstance(message, str) and message.isprintable():
        return f"Fireflies reports an error: {message[:200]}"
    return "Fireflies reports an error"
