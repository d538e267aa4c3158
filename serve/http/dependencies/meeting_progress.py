"""Reads the progress of meetings from Postgres, once for all simultaneous clients of a replica."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from storage.cancellation import retrieve_exception
from storage.notes import note_queries
from storage.postgres import meeting_queries, transcript_queries
from storage.records import CLOSED_STATUSES

NEW_READ_ONLY_S = -1.0
"""A `max_age_s` that no earlier read satisfies."""
_CACHE_S = 60.0
"""Seconds for which a meeting's last read is kept."""

_Key = tuple[str, UUID]


@dataclass(frozen=True, slots=True)
class MeetingProgress:
    """A meeting's last `seq`, and whether it is complete: closed, without pending captions, and without notes to come soon."""

    seq: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _ProgressRead:
    """A read of Postgres, and when it started, in seconds of the event loop's clock."""

    started_at: float
    result: asyncio.Task[MeetingProgress]

    def age_s(self) -> float:
        """Return the seconds since the read started."""
        return asyncio.get_running_loop().time() - self.started_at

    def has_failed(self) -> bool:
        """Return whether the read ended without a result."""
        return self.result.done() and (self.result.cancelled() or self.result.exception() is not None)


class ProgressReader:
    """Reads the progress of meetings. Each meeting has at most one read in flight and one that waits for it.

    So a thousand clients of a meeting cost as much as one. A call during a read shares the next read. That starts after
    the call, so it can't miss anything stored before it.

    Args:
        database: the database with the meetings.
    """

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._last_reads: dict[_Key, _ProgressRead] = {}
        self._next_reads: dict[_Key, asyncio.Task[MeetingProgress]] = {}

    async def read(self, team_id: str, meeting_id: UUID, max_age_s: float = NEW_READ_ONLY_S) -> MeetingProgress:
        """Read the progress of a team's meeting.

        Args:
            team_id: the team.
            meeting_id: its meeting.
            max_age_s: the most seconds since the start of the read; `NEW_READ_ONLY_S` for a read that starts after this call.

        Raises:
            NotFoundError: the team has no such meeting.
        """
        key = team_id, meeting_id
        last = self._last_reads.get(key)
        if last is not None and last.age_s() <= max_age_s and not last.has_failed():
            # Shielded, so that a client that disconnects doesn't cancel the read for others.
            return await asyncio.shield(last.result)
        if key not in self._next_reads:
            self._next_reads[key] = asyncio.create_task(self._read_after(key, last))
            self._next_reads[key].add_done_callback(retrieve_exception)
        return await asyncio.shield(self._next_reads[key])

    async def _read_after(self, key: _Key, last: _ProgressRead | None) -> MeetingProgress:
        if last is not None:
            await asyncio.wait({last.result})
        loop = asyncio.get_running_loop()
        read = self._last_reads[key] = _ProgressRead(loop.time(), self._next_reads.pop(key))
        loop.call_later(_CACHE_S, self._forget, key, read)
        return await self._query(*key)

    def _forget(self, key: _Key, read: _ProgressRead) -> None:
        if self._last_reads.get(key) is read:
            del self._last_reads[key]

    async def _query(self, team_id: str, meeting_id: UUID) -> MeetingProgress:
        async with self._database.connect() as conn:
            record = await meeting_queries.read_meeting(conn, team_id, meeting_id)
            if (
                record.status not in CLOSED_STATUSES
                or await transcript_queries.count_pending(conn, team_id, meeting_id)
                or await note_queries.count_awaited(conn, meeting_id)
            ):
                return MeetingProgress(record.seq, is_complete=False)
            # Read after the count of pending captions: a caption completed before that count is an event by now.
            return MeetingProgress(await transcript_queries.read_last_seq(conn, team_id, meeting_id), is_complete=True)
