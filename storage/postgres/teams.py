"""Teams: the limit of concurrent live meetings, and counters that belong to none of a team's meetings."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import OverloadedError
from operators.meeting_config import Clock
from storage.postgres.tables import meetings, teams
from storage.records import OPEN_STATUSES

RETRY_AFTER_S = 30
"""Seconds after which a team at its limit may try again to open a meeting."""

_IS_OPEN_AND_LIVE = (meetings.c.clock == Clock.LIVE.value) & meetings.c.status.in_(OPEN_STATUSES)
# Not `for update`, which would wait for every lane that is writing rows of the team.
_LOCK = select(teams.c.id).where(teams.c.id == bindparam("team_id")).with_for_update(key_share=True)
_LOCK_COUNTERS = select(teams.c.counters).where(teams.c.id == bindparam("team_id")).with_for_update(key_share=True)
_SET_COUNTERS = update(teams).where(teams.c.id == bindparam("team_id")).values(counters=bindparam("counters"))
_BY_EXTERNAL_ID = select(meetings.c.id).where(
    meetings.c.team_id == bindparam("team_id"), meetings.c.external_id == bindparam("external_id")
)
_COUNT_LIVE = select(func.count()).where(meetings.c.team_id == bindparam("team_id"), _IS_OPEN_AND_LIVE)
_COUNT_LIVE_BY_TEAM = (
    select(teams.c.id, func.count(meetings.c.id))
    .select_from(teams.outerjoin(meetings, (meetings.c.team_id == teams.c.id) & _IS_OPEN_AND_LIVE))
    .group_by(teams.c.id)
)


async def check_live_limit(conn: AsyncConnection, team_id: str, external_id: str | None, max_live: int) -> None:
    """Check that a team may open one more live meeting. Its next opening waits until the transaction ends.

    Args:
        external_id: the meeting's external id. A meeting that exists under it is never refused.
        max_live: most live meetings that the team may have at once.

    Raises:
        OverloadedError: the team has reached the limit.
    """
    await conn.execute(_LOCK, {"team_id": team_id})
    if external_id is not None:
        existing = await conn.execute(_BY_EXTERNAL_ID, {"team_id": team_id, "external_id": external_id})
        if existing.scalar_one_or_none() is not None:
            return
    if (await conn.execute(_COUNT_LIVE, {"team_id": team_id})).scalar_one() >= max_live:
        raise OverloadedError(
            "limit",
            f"no more than {max_live} live meetings at once: end one, or raise the limit (max_live)",
            RETRY_AFTER_S,
        )


async def count_live_meetings(conn: AsyncConnection) -> dict[str, int]:
    """Count the live meetings of each team, by the team's id."""
    return dict((await conn.execute(_COUNT_LIVE_BY_TEAM)).tuples().all())


async def count_refusal(conn: AsyncConnection, team_id: str, reason: str) -> None:
    """Count a refusal that belongs to none of the team's meetings, such as the opening of a meeting."""
    row = await conn.execute(_LOCK_COUNTERS, {"team_id": team_id})
    counters: dict[str, int] = row.scalar_one()
    name = f"refused:{reason}"
    updated_counters = counters | {name: counters.get(name, 0) + 1}
    await conn.execute(_SET_COUNTERS, {"team_id": team_id, "counters": updated_counters})
