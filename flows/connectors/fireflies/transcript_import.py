"""Imports one transcript of Fireflies: it becomes a recorded meeting, with summary, attendees and attendance.

An import that was interrupted begins again: the log accepts each sentence once.
"""

from __future__ import annotations

import asyncio
import time
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies.accounts import FirefliesAccounts
from flows.connectors.fireflies.job_retries import decide_retry
from operators.errors import ConflictError, ParleyError
from operators.meeting_config import Clock
from operators.sources.fireflies import FIREFLIES
from operators.sources.fireflies_transcripts import FirefliesTranscript, parse_transcript
from storage.cancellation import raise_if_cancelled
from storage.ingest.connector_opening import open_source_meeting
from storage.ingest.lane_lag import LaneLags
from storage.ingest.meeting_service import MeetingService
from storage.postgres import connector_sessions, source_imports, source_metadata
from storage.postgres.meeting_queries import read_meeting
from storage.postgres.source_imports import SourceImport
from storage.records import MeetingRecord
from storage.redis_log.event_log import NewEvent

BATCH_COUNT = 200
"""Number of sentences that are appended at once."""
MAX_LAG_S = 30.0
"""Seconds that the meeting's lane may lag before an import waits for it."""
LAG_POLL_S = 1.0
"""Seconds between two checks of the lag."""
STORE_RETRY_S, STORE_PAUSE_S = 0.5, 5.0
"""Seconds between two attempts to store an import's state while Postgres does not respond, and before it is imported then."""
LIVE_POLL_S = 3.0
"""Seconds before an import is tried again whose meeting is still received live."""
ENTRY_COUNT = 2
"""Number of entries of a meeting beside its sentences: the start and the end."""
ALREADY_LIVE = "the meeting was received live: only its summary and attendees were imported"
FURTHER_MEETING = "the meeting was received live with gaps: all of its transcript was imported as a further meeting"
STILL_LIVE = "it waits until the meeting is over"

log = structlog.get_logger(__name__)


class TranscriptImport:
    """Runs imports. Several calls of `run_once` may run at once: each takes another import.

    Args:
        database: the database.
        meetings: opens and feeds the meetings.
        accounts: builds the clients of the API.
        lags: the lags of the lanes.
    """

    def __init__(
        self, database: AsyncEngine, meetings: MeetingService, accounts: FirefliesAccounts, lags: LaneLags
    ) -> None:
        self._database, self._meetings, self._accounts, self._lags = database, meetings, accounts, lags

    async def run_once(self) -> bool:
        """Run the import that is due for longest. Return whether there was one."""
        async with self._database.begin() as conn:
            job = await source_imports.start_next_import(conn, FIREFLIES.name)
        if job is None:
            return False
        try:
            await self._run(job)
        except SQLAlchemyError as error:
            raise_if_cancelled()
            log.warning("import postponed", job=str(job.id), error=type(error).__name__)
            await self._requeue(job)
        return True

    async def _run(self, job: SourceImport) -> None:
        try:
            await self._import(job)
        except ParleyError as error:
            raise_if_cancelled()
            decision = decide_retry(error, job.attempts)
            if decision.wait_s is None:
                await self._finish(job, "failed", decision.detail)
            else:
                await self._postpone(job, decision.wait_s, decision.attempts, decision.detail)
        except SQLAlchemyError as error:
            if not isinstance(error, DataError | IntegrityError):
                raise
            await self._finish(job, "failed", f"the database refuses its content ({type(error).__name__})")
        except Exception as error:  # noqa: BLE001 - one transcript must not stop the imports of others
            raise_if_cancelled()
            log.error("import failed", job=str(job.id), error=type(error).__name__)
            await self._finish(job, "failed", f"an unexpected error occurred ({type(error).__name__})")

    async def _requeue(self, job: SourceImport) -> None:
        """Queue an import again whose state could not be stored, as soon as Postgres responds."""
        while True:
            try:
                await self._postpone(job, STORE_PAUSE_S, job.attempts, "it waits: the database did not respond")
            except SQLAlchemyError:
                raise_if_cancelled()
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    async def _import(self, job: SourceImport) -> None:
        async with self._database.connect() as conn:
            session = await connector_sessions.find_open_session(conn, job.team_id, job.source, job.external_id)
        if session is not None:
            await self._postpone(job, LIVE_POLL_S, job.attempts, STILL_LIVE)
            return
        api = await self._accounts.open_api(job.team_id, job.key, job.options)
        transcript = await asyncio.to_thread(parse_transcript, await api.read_transcript(job.external_id))
        if transcript.is_live:
            raise ConflictError("live", "the meeting still runs: connect to it, or import it after its end")
        record, live_ids = await self._open_meeting(job, transcript)
        detail = FURTHER_MEETING if live_ids else None
        if record.clock is Clock.LIVE:
            detail = ALREADY_LIVE
            await self._store_progress(job, transcript, record, job.appended_count)
        elif not _is_complete(record, transcript):
            await self._append(job, transcript, record)
        else:
            await self._store_progress(job, transcript, record, len(transcript.chunks))
        async with self._database.begin() as conn:
            for meeting_id in (record.id, *live_ids):
                await source_metadata.save_metadata(
                    conn, job.team_id, meeting_id, job.source, job.external_id, transcript.metadata
                )
        await self._finish(job, "done", detail)

    async def _open_meeting(
        self, job: SourceImport, transcript: FirefliesTranscript
    ) -> tuple[MeetingRecord, list[UUID]]:
        """Return the import's meeting, and those that were received live with gaps."""
        live_ids: list[UUID] = []

        async def is_usable(record: MeetingRecord) -> bool:
            if record.clock is not Clock.LIVE or record.last_accepted <= 1:
                return _is_usable(record, transcript)
            async with self._database.connect() as conn:
                sessions = await connector_sessions.read_latest_sessions(conn, job.team_id, [record.id])
            if record.id in sessions and sessions[record.id].gaps:
                live_ids.append(record.id)
                return False
            return True

        # An existing meeting is judged by its accepted entries, of which this process may have just appended some.
        await self._meetings.flush_ledger()
        record, _ = await open_source_meeting(
            self._meetings,
            job.team_id,
            job.source,
            job.external_id,
            is_usable=is_usable,
            title=transcript.title or job.title or job.external_id,
            clock=Clock.RECORDED,
            config=job.config,
            at_ms=transcript.began_at_ms if transcript.began_at_ms is not None else time.time_ns() // 1_000_000,
        )
        return record, live_ids

    async def _append(self, job: SourceImport, transcript: FirefliesTranscript, record: MeetingRecord) -> None:
        """Append the sentences and the meeting's end."""
        began_at_ms = transcript.began_at_ms
        if began_at_ms is None:
            began_at_ms = round((record.began_at or record.created_at).timestamp() * 1000)
        appended_count, latest_s = 0, 0.0
        for place in range(0, len(transcript.chunks), BATCH_COUNT):
            batch = transcript.chunks[place : place + BATCH_COUNT]
            events: list[NewEvent] = []
            for chunk in batch:
                latest_s = max(latest_s, chunk.end)
                events.append(NewEvent(f"import {chunk.chunk_id}"[:200], chunk, began_at_ms + round(latest_s * 1000)))
            await self._await_lane(record)
            results = await self._meetings.append(job.team_id, record.id, events)
            if reason := next((result.reason for result in results if result.reason is not None), None):
                if reason == "ended" and await self._has_all(record, transcript):
                    break
                raise ConflictError(reason, f"the meeting accepts no text: it is {reason}")
            appended_count += len(batch)
            await self._store_progress(job, transcript, record, appended_count)
        await self._store_progress(job, transcript, record, len(transcript.chunks))
        await self._meetings.end(job.team_id, record.id, "imported")
        # A repeated import finds out by the accepted entries whether the meeting has all of them.
        await self._meetings.flush_ledger()

    async def _has_all(self, record: MeetingRecord, transcript: FirefliesTranscript) -> bool:
        """Return whether a meeting that accepts no more text has the whole transcript."""
        async with self._database.connect() as conn:
            current = await read_meeting(conn, record.team_id, record.id)
        return current.last_accepted >= len(transcript.chunks) + ENTRY_COUNT

    async def _await_lane(self, record: MeetingRecord) -> None:
        """Wait while the meeting's lane lags. The empty batch keeps the meeting open meanwhile."""
        while True:
            await self._lags.refresh()
            if self._lags.lag_of(record.lane_id) <= MAX_LAG_S:
                return
            await self._meetings.append(record.team_id, record.id, [])
            await asyncio.sleep(LAG_POLL_S)

    async def _store_progress(
        self, job: SourceImport, transcript: FirefliesTranscript, record: MeetingRecord, appended_count: int
    ) -> None:
        async with self._database.begin() as conn:
            await source_imports.store_import_progress(
                conn,
                job.id,
                meeting_id=record.id,
                title=transcript.title or job.title,
                appended_count=appended_count,
                total_count=len(transcript.chunks),
                invalid_count=transcript.invalid_count,
            )

    async def _finish(self, job: SourceImport, state: Literal["done", "failed"], detail: str | None) -> None:
        async with self._database.begin() as conn:
            await source_imports.finish_import(conn, job.id, state, detail)

    async def _postpone(self, job: SourceImport, seconds: float, attempts: int, detail: str) -> None:
        async with self._database.begin() as conn:
            await source_imports.postpone_import(conn, job.id, seconds=seconds, attempts=attempts, detail=detail)


def _is_complete(record: MeetingRecord, transcript: FirefliesTranscript) -> bool:
    """Return whether a meeting is over, with all sentences and its start and end."""
    return record.status == "ended" and record.last_accepted >= len(transcript.chunks) + ENTRY_COUNT


def _is_usable(record: MeetingRecord, transcript: FirefliesTranscript) -> bool:
    """Return whether an import can use an existing meeting that has no live speech.

    A live meeting that heard nothing is left alone. So is an import that was interrupted for so long that its meeting ended.
    """
    if record.clock is Clock.LIVE:
        return False
    if record.status in ("ended", "failed"):
        return _is_complete(record, transcript)
    return True
