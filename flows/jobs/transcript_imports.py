"""Import of transcript files: appends the stored events of imports to their meetings, batch by batch.

A restart repeats at most one batch, whose events have the same ids. So nothing is lost, and nothing appears twice.
"""

from __future__ import annotations

import redis.asyncio
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.entries import MeetingEnded
from operators.errors import ParleyError, UnavailableError
from operators.meeting_config import Clock
from storage.ingest.lane_lag import LaneLags
from storage.ingest.meeting_service import MeetingService
from storage.postgres import transcript_imports
from storage.postgres.meeting_queries import read_meeting
from storage.postgres.transcript_imports import ImportBatch, ImportRecord
from storage.records import MeetingRecord
from storage.redis_log.event_log import NewEvent

MAX_LAG_S = 30.0
"""Seconds that a meeting's lane may lag; beyond that its import waits."""
END_REASON = "the recording ended"
"""Reason of the end of an imported meeting."""
_CLOSED_FIX = "import the file with another title to have it in a new meeting"

log = structlog.get_logger(__name__)


class TranscriptImporter:
    """Runs the imports of all teams.

    Args:
        engine: the database.
        client: the log's Redis; it decodes its responses.
        meetings: the service that opens and feeds meetings.
    """

    def __init__(self, engine: AsyncEngine, client: redis.asyncio.Redis, meetings: MeetingService) -> None:
        self._engine, self._meetings = engine, meetings
        self._lags = LaneLags(engine, client)

    async def run_once(self) -> int:
        """Append the next batch of every import that isn't finished. An import that can't continue fails alone.

        Returns:
            The number of batches appended. Imports that wait for their lane, or for a paused meeting, append none.

        Raises:
            UnavailableError: the log can't be reached, or there is no lane. Every import continues later.
        """
        async with self._engine.connect() as conn:
            unfinished = await transcript_imports.list_unfinished_imports(conn)
        if not unfinished:
            return 0
        await self._lags.refresh()
        return sum([await self._advance_or_fail(each) for each in unfinished])

    async def _advance_or_fail(self, record: ImportRecord) -> bool:
        try:
            return await self._advance(record)
        except (UnavailableError, SQLAlchemyError, RedisError):
            raise
        except ParleyError as error:
            await self._fail(record, str(error))
        except Exception as error:  # noqa: BLE001 - an unreadable row of one import must not stop the others
            log.error("import failed", meeting=str(record.meeting_id), error=type(error).__name__)
            await self._fail(record, f"an unexpected error occurred ({type(error).__name__}); the log names it")
        return False

    async def _advance(self, record: ImportRecord) -> bool:
        """Append the next batch of an import, and return whether it did."""
        meeting = await self._open_meeting(record)
        if (obstacle := self._find_obstacle(meeting)) is not None:
            # An import that waits is still connected, so its meeting must stay open.
            await self._meetings.append(record.team_id, meeting.id, [])
            async with self._engine.begin() as conn:
                await transcript_imports.set_waiting(conn, record.id, obstacle)
            return False
        async with self._engine.connect() as conn:
            batch = await transcript_imports.read_next_batch(conn, record.id)
        if batch is None:
            await self._fail(record, "its events are missing; import the file with another title")
            return False
        events = _batch_events(record, batch)
        results = await self._meetings.append(record.team_id, meeting.id, events)
        refused_count = sum(result.outcome == "refused" for result in results)
        # After a crash the meeting may be over already, because this batch ended it.
        if refused_count and not (_is_last(record, batch) and meeting.end_reason == END_REASON):
            reason = next(result.reason for result in results if result.outcome == "refused")
            if reason == "paused":
                return False
            missing_count = record.event_count - batch.first
            detail = (
                f"the meeting is {reason}: {missing_count} of {record.event_count} events are missing; {_CLOSED_FIX}"
            )
            await self._fail(record, detail)
            return False
        async with self._engine.begin() as conn:
            await transcript_imports.finish_batch(conn, record.id, batch)
        return True

    async def _open_meeting(self, record: ImportRecord) -> MeetingRecord:
        if record.meeting_id is not None:
            async with self._engine.connect() as conn:
                return await read_meeting(conn, record.team_id, record.meeting_id)
        meeting, _ = await self._meetings.open(
            record.team_id,
            external_id=f"import-{record.fingerprint}",
            title=record.title,
            clock=Clock.RECORDED,
            config=record.config,
            at_ms=record.began_at_ms,
        )
        async with self._engine.begin() as conn:
            await transcript_imports.set_meeting(conn, record.id, meeting.id)
        return meeting

    def _find_obstacle(self, meeting: MeetingRecord) -> str | None:
        """Return why an import has to wait; None if it can continue."""
        if meeting.status == "paused":
            return "the meeting is paused; resume it"
        lag = self._lags.lag_of(meeting.lane_id)
        return f"the meeting's lane is more than {MAX_LAG_S:.0f} s behind" if lag > MAX_LAG_S else None

    async def _fail(self, record: ImportRecord, detail: str) -> None:
        async with self._engine.begin() as conn:
            await transcript_imports.fail_import(conn, record.id, detail)


def _batch_events(record: ImportRecord, batch: ImportBatch) -> list[NewEvent]:
    """Return a batch's events, and the meeting's end after the last. The ids are the same in each attempt."""
    events = [
        NewEvent(f"line-{number}", event.chunk, record.began_at_ms + round(event.at * 1000))
        for number, event in enumerate(batch.events, batch.first + 1)
    ]
    if _is_last(record, batch):
        events.append(NewEvent("end", MeetingEnded(reason=END_REASON), events[-1].at_ms))
    return events


def _is_last(record: ImportRecord, batch: ImportBatch) -> bool:
    return batch.first + len(batch.events) >= record.event_count
