"""Counts of what is stored, over all teams, for the metrics."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.meeting_config import Clock
from storage.records import MeetingStatus

_MEETINGS = text("select status, clock, count(*) from meetings group by status, clock")
_ENTRIES = text(
    "select coalesce(sum(greatest(last_accepted, last_committed)), 0)::bigint,"
    " coalesce(sum(last_committed), 0)::bigint from meetings"
)
_CAPTIONS = text(
    "select c.status, count(*) from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
    " where not s.retracted group by c.status"
)
_COUNTERS = text(
    "select key, sum(value::bigint)::bigint from (select counters from meetings union all select counters from teams) c,"
    " jsonb_each(counters) group by key"
)
_DEAD_LETTERS = text("select count(*) from dead_letters")
_PENDING_DELIVERIES = text(
    "select count(*), coalesce(extract(epoch from now() - min(queued_at)), 0)::float8 from webhook_deliveries"
    " where status = 'pending'"
)


class EntryCounts(NamedTuple):
    """Entries of all meetings."""

    accepted: int
    committed: int


class PendingDeliveries(NamedTuple):
    """Pending webhook deliveries: their number, and the age of the oldest one in seconds (0 if there is none)."""

    number: int
    oldest_age_s: float


async def count_meetings(conn: AsyncConnection) -> dict[tuple[MeetingStatus, Clock], int]:
    """Count meetings by status and clock."""
    rows = await conn.execute(_MEETINGS)
    return {(status, Clock(clock)): number for status, clock, number in rows}


async def count_entries(conn: AsyncConnection) -> EntryCounts:
    """Count the entries that the log accepted, and those that are committed."""
    return EntryCounts(*(await conn.execute(_ENTRIES)).one())


async def count_captions(conn: AsyncConnection) -> dict[str, int]:
    """Count the captions of sentences that were not retracted, by status."""
    return dict((await conn.execute(_CAPTIONS)).tuples().all())


async def sum_counters(conn: AsyncConnection) -> Counter[str]:
    """Sum the counters of meetings and teams, by key. `timed_out` counts meetings that timed out, also reopened ones."""
    return Counter(dict((await conn.execute(_COUNTERS)).tuples().all()))


async def count_dead_letters(conn: AsyncConnection) -> int:
    """Count the dead letters."""
    return int((await conn.execute(_DEAD_LETTERS)).scalar_one())


async def count_pending_deliveries(conn: AsyncConnection) -> PendingDeliveries:
    """Count the webhook deliveries that were neither accepted nor given up."""
    return PendingDeliveries(*(await conn.execute(_PENDING_DELIVERIES)).one())
