"""How far meetings are, read from Postgres once for all the clients of a replica that ask at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from storage.ingest import meeting_service
from storage.postgres import transcript_queries
from storage.records import CLOSED_STATUSES

NEW_READ_ONLY_S = -1.0
"""The age of a read that must not have begun yet."""
_CACHE_S = 60.0
"""Seconds for which a meeting's last read is kept."""

_Key = tuple[str, UUID]


@dataclass(frozen=True, slots=True)
class MeetingProgress:
    """How far a meeting is: its last `seq`, and whether nothing more will come of it."""

    seq: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _ProgressRead:
    """A read of Postgres, and when it began (seconds of the event loop's clock)."""

    started_at: float
    result: asyncio.Task[MeetingProgress]

    def age_s(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.started_at

    def has_failed(self) -> bool:
        """Whether it ended without a result."""
        return self.result.done() and (self.result.cancelled() or self.result.exception() is not None)


class ProgressReader:
    """Reads how far meetings are. Each meeting has at most one read under way and one that waits for it.

    A thousand clients follow a meeting as cheaply as one: a request during a read shares the next one, which begins
    after that request and so can't miss what was stored before it.

    Args:
        database: where the meetings are.
    """

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._last_reads: dict[_Key, _ProgressRead] = {}
        self._next_reads: dict[_Key, asyncio.Task[MeetingProgress]] = {}

    async def read(self, team_id: str, meeting_id: UUID, max_age_s: float = NEW_READ_ONLY_S) -> MeetingProgress:
        """How far a team's meeting is.

        Args:
            team_id: the team.
            meeting_id: its meeting.
            max_age: seconds since the read may have begun; NOW for one that begins now.

        Raises:
            NotFoundError: the team has no such meeting.
        """
        key = team_id, meeting_id
        last = self._last_reads.get(key)
        if last is not None and last.age_s() <= max_age_s and not last.has_failed():
            # Shielded: a client that leaves takes nothing from the others.
            return await asyncio.shield(last.result)
        if key not in self._next_reads:
            self._next_reads[key] = asyncio.create_task(self._read_after(key, last))
            self._next_reads[key].add_done_callback(_retrieve_exception)
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
            record = await meeting_service.read_meeting(conn, team_id, meeting_id)
            if record.status not in CLOSED_STATUSES or await transcript_queries.count_pending(
                conn, team_id, meeting_id
            ):
                return MeetingProgress(record.seq, is_complete=False)
            # Read after the pending captions: what was pending a moment ago is an event by now.
            return MeetingProgress(await transcript_queries.read_last_seq(conn, team_id, meeting_id), is_complete=True)


def _retrieve_exception(task: asyncio.Task[MeetingProgress]) -> None:
    """Take note of an error that nobody waits for any more: those who did got it."""
    if not task.cancelled():
        task.exception()
