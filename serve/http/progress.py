"""How far meetings are, read from Postgres once for all the clients of a replica that ask at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from storage import meetings, transcripts
from storage.records import OVER_STATUSES

NOW = -1.0
"""The age of a read that must not have begun yet."""
_KEPT_S = 60.0
"""Seconds for which a meeting's last read is kept."""

_Key = tuple[str, UUID]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a meeting is: its last `seq`, and whether nothing more will come of it."""

    seq: int
    complete: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """A read of Postgres, and when it began (seconds of the event loop's clock)."""

    began: float
    result: asyncio.Task[Progress]

    def age(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self.began

    def failed(self) -> bool:
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
        self._last: dict[_Key, _Read] = {}
        self._next: dict[_Key, asyncio.Task[Progress]] = {}

    async def read(self, team_id: str, meeting_id: UUID, max_age: float = NOW) -> Progress:
        """How far a team's meeting is.

        Args:
            team_id: the team.
            meeting_id: its meeting.
            max_age: seconds since the read may have begun; NOW for one that begins now.

        Raises:
            Unknown: the team has no such meeting.
        """
        key = team_id, meeting_id
        last = self._last.get(key)
        if last is not None and last.age() <= max_age and not last.failed():
            # Shielded: a client that leaves takes nothing from the others.
            return await asyncio.shield(last.result)
        if key not in self._next:
            self._next[key] = asyncio.create_task(self._after(key, last))
            self._next[key].add_done_callback(_seen)
        return await asyncio.shield(self._next[key])

    async def _after(self, key: _Key, last: _Read | None) -> Progress:
        if last is not None:
            await asyncio.wait({last.result})
        loop = asyncio.get_running_loop()
        read = self._last[key] = _Read(loop.time(), self._next.pop(key))
        loop.call_later(_KEPT_S, self._forget, key, read)
        return await self._query(*key)

    def _forget(self, key: _Key, read: _Read) -> None:
        if self._last.get(key) is read:
            del self._last[key]

    async def _query(self, team_id: str, meeting_id: UUID) -> Progress:
        async with self._database.connect() as conn:
            record = await meetings.get(conn, team_id, meeting_id)
            if record.status not in OVER_STATUSES or await transcripts.count_pending(conn, team_id, meeting_id):
                return Progress(record.seq, complete=False)
            # Read after the pending captions: what was pending a moment ago is an event by now.
            return Progress(await transcripts.head(conn, team_id, meeting_id), complete=True)


def _seen(task: asyncio.Task[Progress]) -> None:
    """Take note of an error that nobody waits for any more: those who did got it."""
    if not task.cancelled():
        task.exception()
