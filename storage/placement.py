"""Lanes, and which of them a meeting goes to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import Unavailable
from storage.records import OPEN_STATUSES
from storage.tables import lanes, meetings

LaneKind = Literal["live", "batch"]


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """A lane. `epoch` counts the processes that took it over; `open_meetings` is its load.

    `log_id` is how far its log is committed; `waiting` calls have no answer; `log_length` entries are kept.
    """

    id: str
    kind: LaneKind
    epoch: int
    pid: int | None
    node: str | None
    state: str
    retired: bool
    log_id: str
    waiting: int
    log_length: int
    updated_at: datetime
    open_meetings: int


async def ensure_lane(conn: AsyncConnection, lane_id: str, kind: LaneKind) -> None:
    """Add a lane, or take one up again that was retired. One that is there already is left as it is."""
    statement = insert(lanes).values(id=lane_id, kind=kind)
    await conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"retired": False}))


async def retire_others(conn: AsyncConnection, kept: Collection[str]) -> None:
    """Give no new meetings to any lane but these."""
    await conn.execute(update(lanes).where(lanes.c.id.not_in(kept)).values(retired=True))


async def list_lanes(conn: AsyncConnection) -> list[LaneRecord]:
    """All lanes with their load, by id."""
    rows = await conn.execute(_with_load().order_by(lanes.c.id))
    return [LaneRecord(**row) for row in rows.mappings()]


async def place(conn: AsyncConnection, kind: LaneKind) -> str:
    """The lane of a kind with the fewest open meetings. Of several, the first by id.

    Raises:
        Unavailable: there is no lane of that kind.
    """
    statement = (
        _with_load().where(lanes.c.kind == kind, ~lanes.c.retired).order_by("open_meetings", lanes.c.id).limit(1)
    )
    row = (await conn.execute(statement)).mappings().one_or_none()
    if row is None:
        raise Unavailable(f"there is no {kind} lane yet: start one, or try again once it is up")
    return str(row["id"])


def _with_load() -> Select[Any]:
    load = (
        select(func.count())
        .where(meetings.c.lane_id == lanes.c.id, meetings.c.status.in_(OPEN_STATUSES))
        .scalar_subquery()
        .label("open_meetings")
    )
    return select(lanes, load)
