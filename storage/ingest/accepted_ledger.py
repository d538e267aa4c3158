"""The ledger: what the door accepted, should Redis lose it, and how often it sent something away.

Each process keeps the last ordinals it saw accepted and its counts in mind, and notes them in Postgres about once a second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.postgres.tables import meetings, outbox

FLUSH_INTERVAL_S = 1.0
"""How often ordinals are noted: what was accepted since can't be counted if Redis and this process go at once."""
MAX_MEETINGS = 10_000
"""How many meetings a process keeps in mind."""

_logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class AcceptedPosition:
    """What this process knows of a meeting: whose it is, its last accepted ordinal, and whether Postgres has that."""

    team_id: str
    last_accepted: int
    is_stored: bool


class AcceptedLedger:
    """The meetings this process knows.

    Args:
        engine: the database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._positions: dict[UUID, AcceptedPosition] = {}
        self._counts: dict[UUID, Counter[str]] = {}

    def count(self, meeting_id: UUID, names: Iterable[str]) -> None:
        """Count what was not accepted: each name once."""
        if increments := Counter(names):
            self._counts.setdefault(meeting_id, Counter()).update(increments)

    def unstored_counts(self, meeting_id: UUID) -> Mapping[str, int]:
        """What was counted of a meeting and is not noted yet."""
        return self._counts.get(meeting_id, {})

    def get(self, meeting_id: UUID) -> AcceptedPosition | None:
        """What is known of a meeting, if anything."""
        return self._positions.get(meeting_id)

    def record_accepted(
        self, team_id: str, meeting_id: UUID, last_accepted: int, *, is_stored: bool = False
    ) -> AcceptedPosition:
        """Learn that a meeting's entries are accepted up to an ordinal; `stored` if Postgres knows already."""
        position = self._positions.setdefault(meeting_id, AcceptedPosition(team_id, 0, is_stored=True))
        if last_accepted > position.last_accepted:
            position.last_accepted, position.is_stored = last_accepted, is_stored
        return position

    async def flush(self) -> None:
        """Note in Postgres what was accepted and counted since the last time. Rows that are locked are left for the next."""
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
            await asyncio.sleep(FLUSH_INTERVAL_S)
            try:
                await self.flush()
            except SQLAlchemyError:
                _logger.warning("ledger.postponed", meetings=len(self._positions))


async def store_accepted(conn: AsyncConnection, accepted: Mapping[UUID, int]) -> set[UUID]:
    """Raise the last accepted ordinal of meetings, whosever they are.

    Rows that a lane is writing at this moment are left out: waiting for several of them could deadlock.

    Returns:
        The meetings that were noted.
    """
    statement = text(
        "with noted as (select m.id, v.n from meetings m"
        " join unnest(:ids, :ns) as v(id, n) on m.id = v.id order by m.id for update of m skip locked)"
        " update meetings m set last_accepted = greatest(m.last_accepted, noted.n) from noted where m.id = noted.id"
        " returning m.id"
    ).bindparams(bindparam("ids", type_=ARRAY(Uuid)), bindparam("ns", type_=ARRAY(BigInteger)))
    statement = statement.columns(id=Uuid)
    rows = await conn.execute(statement, {"ids": list(accepted), "ns": list(accepted.values())})
    return set(rows.scalars())


async def store_counts(conn: AsyncConnection, counts: Mapping[UUID, Mapping[str, int]]) -> dict[UUID, Counter[str]]:
    """Add to the counters of meetings, whosever they are, with a live event of each; the relay publishes those.

    Rows that a lane is writing are left out.

    Returns:
        What was added, by meeting.
    """
    rows = await conn.execute(
        select(meetings.c.id, meetings.c.counters)
        .where(meetings.c.id.in_(list(counts)))
        .order_by(meetings.c.id)
        .with_for_update(skip_locked=True)
    )
    added: dict[UUID, Counter[str]] = {}
    for row in rows.all():
        added[row.id] = Counter(counts[row.id])
        await write_counters(conn, row.id, dict(Counter(row.counters) + added[row.id]))
    return added


async def write_counters(conn: AsyncConnection, meeting_id: UUID, counters: Mapping[str, int]) -> None:
    """Write what a meeting counts, and a live event that tells of it. The caller holds the lock of the meeting's row."""
    row = (
        await conn.execute(
            update(meetings)
            .where(meetings.c.id == meeting_id)
            .values(counters=counters, seq=meetings.c.seq + 1)
            .returning(meetings.c.team_id, meetings.c.seq, meetings.c.status)
        )
    ).one()
    payload = {"status": row.status, "counters": counters}
    await conn.execute(
        insert(outbox).values(team_id=row.team_id, meeting_id=meeting_id, seq=row.seq, kind="status", payload=payload)
    )
