"""The ledger of accepted ordinals and refusals. With it, entries that Redis loses are counted.

Each process caches the last ordinals that it saw accepted, and its counts. It stores them in Postgres about once a second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.cancellation import raise_if_cancelled
from storage.postgres.outbox import write_events
from storage.postgres.tables import meetings
from storage.records import OutboxEvent

FLUSH_INTERVAL_S = 1.0
"""Seconds between two flushes: entries accepted since the last one aren't counted if Redis and this process fail together."""
MAX_MEETINGS = 10_000
"""Meetings that a process caches."""

log = structlog.get_logger(__name__)

_STORE_ACCEPTED = text(
    "with noted as (select m.id, v.n from meetings m"
    " join unnest(cast(:ids as uuid[]), cast(:ns as bigint[])) as v(id, n) on m.id = v.id"
    " order by m.id for update of m skip locked)"
    " update meetings m set last_accepted = greatest(m.last_accepted, noted.n) from noted where m.id = noted.id"
    " returning m.id"
)
_LOCK_COUNTERS = (
    select(meetings.c.id, meetings.c.counters)
    .where(meetings.c.id.in_(bindparam("meeting_ids", expanding=True)))
    .order_by(meetings.c.id)
    .with_for_update(skip_locked=True)
)
_SET_COUNTERS = (
    update(meetings)
    .where(meetings.c.id == bindparam("meeting_id"))
    .values(counters=bindparam("counters"), seq=meetings.c.seq + 1)
    .returning(meetings.c.team_id, meetings.c.seq, meetings.c.status)
)


@dataclass(slots=True)
class AcceptedPosition:
    """The last accepted ordinal of a meeting, as this process saw it.

    Attributes:
        team_id: the meeting's team.
        last_accepted: its last accepted ordinal.
        is_stored: whether Postgres has that ordinal.
    """

    team_id: str
    last_accepted: int
    is_stored: bool


class AcceptedLedger:
    """The accepted ordinals and counts of this process, which it stores in Postgres.

    Args:
        engine: the database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._positions: dict[UUID, AcceptedPosition] = {}
        self._counts: dict[UUID, Counter[str]] = {}
        self._flush_lock = asyncio.Lock()

    def count(self, meeting_id: UUID, names: Iterable[str]) -> None:
        """Add one to a meeting's counter for each name. A name may repeat."""
        if increments := Counter(names):
            self._counts.setdefault(meeting_id, Counter()).update(increments)

    def unstored_counts(self, meeting_id: UUID) -> Mapping[str, int]:
        """Return the counts of a meeting that aren't stored yet."""
        return self._counts.get(meeting_id, {})

    def get(self, meeting_id: UUID) -> AcceptedPosition | None:
        """Return a meeting's cached position; None if there is none."""
        return self._positions.get(meeting_id)

    def record_accepted(
        self, team_id: str, meeting_id: UUID, last_accepted: int, *, is_stored: bool = False
    ) -> AcceptedPosition:
        """Record that a meeting's entries are accepted up to an ordinal.

        Args:
            team_id, meeting_id: the meeting.
            last_accepted: the ordinal.
            is_stored: whether Postgres has it already.

        Returns:
            The meeting's position.
        """
        position = self._positions.setdefault(meeting_id, AcceptedPosition(team_id, 0, is_stored=True))
        if last_accepted > position.last_accepted:
            position.last_accepted, position.is_stored = last_accepted, is_stored
        return position

    async def flush(self) -> None:
        """Store new ordinals and counts in Postgres. Locked rows are left for the next flush."""
        # Two flushes at once would store the same counts twice.
        async with self._flush_lock:
            await self._flush()

    async def _flush(self) -> None:
        unstored = {
            meeting_id: known.last_accepted for meeting_id, known in self._positions.items() if not known.is_stored
        }
        if unstored:
            async with self._engine.begin() as conn:
                written = await store_accepted(conn, unstored)
            for meeting_id in written & self._positions.keys():
                known = self._positions[meeting_id]
                known.is_stored = known.last_accepted == unstored[meeting_id]
        if self._counts:
            async with self._engine.begin() as conn:
                written = await store_counts(conn, self._counts)
            for meeting_id, counted in written.items():
                self._counts[meeting_id] -= counted
            self._counts = {meeting_id: counted for meeting_id, counted in self._counts.items() if counted}
        if len(self._positions) > MAX_MEETINGS:
            self._positions = {
                meeting_id: known for meeting_id, known in self._positions.items() if not known.is_stored
            }

    async def run(self) -> None:
        """Flush about once a second, until cancelled."""
        while True:
            raise_if_cancelled()
            await asyncio.sleep(FLUSH_INTERVAL_S)
            try:
                await self.flush()
            except SQLAlchemyError:
                log.warning("ledger.postponed", meetings=len(self._positions))


async def store_accepted(conn: AsyncConnection, accepted: Mapping[UUID, int]) -> set[UUID]:
    """Raise the last accepted ordinal of meetings, of any team.

    Rows that a lane is writing at this moment are skipped, because waiting for several of them could deadlock.

    Args:
        accepted: ordinals by meeting.

    Returns:
        The meetings that were written.
    """
    rows = await conn.execute(_STORE_ACCEPTED, {"ids": list(accepted), "ns": list(accepted.values())})
    return set(rows.scalars())


async def store_counts(conn: AsyncConnection, counts: Mapping[UUID, Mapping[str, int]]) -> dict[UUID, Counter[str]]:
    """Add to the counters of meetings, of any team, with a live event for each; the relay publishes these events.

    Rows that a lane is writing at this moment are skipped.

    Args:
        counts: increments by meeting and counter.

    Returns:
        The increments that were added, by meeting.
    """
    rows = await conn.execute(_LOCK_COUNTERS, {"meeting_ids": list(counts)})
    added: dict[UUID, Counter[str]] = {}
    for row in rows.all():
        added[row.id] = Counter(counts[row.id])
        await write_counters(conn, row.id, dict(Counter(row.counters) + added[row.id]))
    return added


async def write_counters(conn: AsyncConnection, meeting_id: UUID, counters: Mapping[str, int]) -> None:
    """Write a meeting's counters, and a live event that reports them. The caller holds the lock of the meeting's row."""
    row = (await conn.execute(_SET_COUNTERS, {"meeting_id": meeting_id, "counters": counters})).one()
    payload = {"status": row.status, "counters": counters}
    event = OutboxEvent(row.team_id, str(meeting_id), row.seq, "status", payload)
    await conn.run_sync(write_events, [event])
