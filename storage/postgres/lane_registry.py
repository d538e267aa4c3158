"""The lanes, and the assignment of meetings to them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, bindparam, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from operators.meeting_config import Clock
from storage.postgres.tables import lanes, meetings
from storage.records import OPEN_STATUSES

LaneKind = Literal["live", "batch"]
ALWAYS_RUNNING_KINDS: frozenset[LaneKind] = frozenset({"live"})
"""Kinds whose lanes run even without meetings, because a live meeting must not wait for its lane to start."""


_IS_OPEN_IN_LANE = (meetings.c.lane_id == lanes.c.id) & meetings.c.status.in_(OPEN_STATUSES)
_SELECT_WORK = select(
    lanes.c.kind, lanes.c.draining, lanes.c.log_id, lanes.c.retain_after, exists().where(_IS_OPEN_IN_LANE)
).where(lanes.c.id == bindparam("lane_id"))
_SELECT_KINDS = select(lanes.c.id, lanes.c.kind).order_by(lanes.c.id)
_SET_STATE = (
    update(lanes).where(lanes.c.id == bindparam("lane_id")).values(state=bindparam("state"), updated_at=func.now())
)
_SELECT_MEETINGS_BY_BACKLOG = (
    select(meetings.c.team_id, meetings.c.id)
    .where(meetings.c.lane_id == bindparam("lane_id"), meetings.c.status.in_(OPEN_STATUSES))
    .order_by((meetings.c.last_accepted - meetings.c.last_committed).desc(), meetings.c.id)
)
_ENSURE = (
    insert(lanes)
    .values(id=bindparam("lane_id"), kind=bindparam("kind"))
    .on_conflict_do_update(index_elements=["id"], set_={"draining": False})
)
_DRAIN_OTHERS = update(lanes).where(lanes.c.id.not_in(bindparam("kept_ids", expanding=True))).values(draining=True)
_DRAIN = update(lanes).where(lanes.c.id == bindparam("lane_id")).values(draining=True)
_SELECT_TARGET = select(lanes.c.kind, lanes.c.draining).where(lanes.c.id == bindparam("lane_id"))
_SELECT_WITH_LOAD = select(lanes, select(func.count()).where(_IS_OPEN_IN_LANE).scalar_subquery().label("open_meetings"))
_LIST = _SELECT_WITH_LOAD.order_by(lanes.c.id)
_SELECT_LEAST_LOADED = (
    _SELECT_WITH_LOAD.where(lanes.c.kind == bindparam("kind"), ~lanes.c.draining)
    .order_by(lanes.c.state == "crash_loop", "open_meetings", lanes.c.id)
    .limit(1)
)
_LOCK_CHANGES = select(func.pg_advisory_xact_lock(func.hashtext("parley.lanes")))


def lane_kind_for(clock: Clock) -> LaneKind:
    """Return the kind of lane for meetings with this clock."""
    return "live" if clock is Clock.LIVE else "batch"


class LaneProgress(NamedTuple):
    """The progress of a lane.

    Attributes:
        log_id: the log's id up to which the lane has committed.
        due_at: when its first uncommitted tick is due (ms, by Redis' time); None if none is.
    """

    log_id: str
    due_at: int | None = None


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """A lane: one partition of the log, and its worker.

    Attributes:
        epoch: number of processes that have claimed the lane.
        draining: whether it takes no new meetings, and its open ones move to other lanes.
        log_id: the log's id up to which the lane has committed.
        pending_calls: calls without a result.
        log_length: entries in its log.
        updated_at: time of its last sign of life.
        open_meetings: its load.
        retain_after: the log's id after which entries are retained for meetings that move; None if there are none.
        due_at: when its first uncommitted tick is due (ms, by Redis' time); None if none is.
    """

    id: str
    kind: LaneKind
    epoch: int
    pid: int | None
    node: str | None
    state: str
    draining: bool
    log_id: str
    pending_calls: int
    log_length: int
    updated_at: datetime
    open_meetings: int
    retain_after: str | None = None
    due_at: int | None = None

    @property
    def progress(self) -> LaneProgress:
        """The lane's progress. Without open meetings it has no tick: a stored one is of a meeting that moved or ended."""
        return LaneProgress(self.log_id, self.due_at if self.open_meetings else None)


class LaneWork(NamedTuple):
    """The facts that decide whether a lane has to run."""

    kind: LaneKind
    draining: bool
    log_id: str
    retain_after: str | None
    has_open_meetings: bool


def read_lane_work(connection: Connection, lane_id: str) -> LaneWork | None:
    """Read whether a lane has work; None if there is no such lane."""
    row = connection.execute(_SELECT_WORK, {"lane_id": lane_id}).one_or_none()
    return None if row is None else LaneWork(*row)


def read_lane_kinds(connection: Connection) -> dict[str, LaneKind]:
    """Read all lanes by id, each with its kind."""
    return {row.id: row.kind for row in connection.execute(_SELECT_KINDS)}


def set_lane_state(connection: Connection, lane_id: str, state: str) -> None:
    """Store the state of a lane whose process can't store it itself."""
    connection.execute(_SET_STATE, {"lane_id": lane_id, "state": state})


async def list_meetings_by_backlog(conn: AsyncConnection, lane_id: str) -> list[tuple[str, UUID]]:
    """List the open meetings of a lane as team and meeting ids, those with most uncommitted entries first."""
    return list((await conn.execute(_SELECT_MEETINGS_BY_BACKLOG, {"lane_id": lane_id})).tuples().all())


async def ensure_lane(conn: AsyncConnection, lane_id: str, kind: LaneKind) -> None:
    """Add a lane, or end the draining of an existing one."""
    await conn.execute(_ENSURE, {"lane_id": lane_id, "kind": kind})


async def drain_other_lanes(conn: AsyncConnection, kept_ids: Collection[str]) -> None:
    """Drain all lanes but these.

    Args:
        kept_ids: ids of the lanes that stay as they are.
    """
    await conn.execute(_DRAIN_OTHERS, {"kept_ids": list(kept_ids)})


async def add_lane(conn: AsyncConnection, kind: LaneKind) -> str:
    """Add a lane of a kind, with the lowest number that is unused or draining. The lane manager starts it.

    Returns:
        The lane's id.
    """
    await _lock_lane_changes(conn)
    lanes_by_id = {lane.id: lane for lane in await list_lanes(conn) if lane.kind == kind}
    candidate_ids = (f"{kind}-{k}" for k in count(1))
    lane_id = next(
        candidate for candidate in candidate_ids if candidate not in lanes_by_id or lanes_by_id[candidate].draining
    )
    await ensure_lane(conn, lane_id, kind)
    return lane_id


async def drain_lane(conn: AsyncConnection, lane_id: str) -> None:
    """Drain a lane: it takes no new meetings, and its open ones move to other lanes.

    Raises:
        NotFoundError: there is no such lane.
        ConflictError: it is the last lane of its kind.
    """
    await _lock_lane_changes(conn)
    lanes_by_id = {lane.id: lane for lane in await list_lanes(conn)}
    if lane_id not in lanes_by_id:
        raise NotFoundError(f"there is no lane {lane_id}")
    kind = lanes_by_id[lane_id].kind
    if not any(lane.kind == kind and not lane.draining for lane in lanes_by_id.values() if lane.id != lane_id):
        raise ConflictError("last", f"it is the last {kind} lane: add another first")
    await conn.execute(_DRAIN, {"lane_id": lane_id})


async def check_move_target(conn: AsyncConnection, lane_id: str, kind: LaneKind) -> None:
    """Check that a meeting may move to a lane.

    Args:
        kind: the kind of lane that the meeting needs.

    Raises:
        NotFoundError: there is no such lane.
        InvalidInputError: the lane is of the other kind, or takes no meetings.
    """
    row = (await conn.execute(_SELECT_TARGET, {"lane_id": lane_id})).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no lane {lane_id}")
    if row.kind != kind:
        raise InvalidInputError("lane", f"must be a {kind} lane, because the meeting's clock needs one")
    if row.draining:
        raise InvalidInputError("lane", "must be a lane that takes meetings: this one is draining or drained")


async def list_lanes(conn: AsyncConnection) -> list[LaneRecord]:
    """List all lanes with their load, in the order of their ids."""
    rows = await conn.execute(_LIST)
    return [LaneRecord(**row) for row in rows.mappings()]


async def find_least_loaded_lane(conn: AsyncConnection, kind: LaneKind) -> str:
    """Find the lane of a kind with the fewest open meetings.

    Of several, it is the first by id. A lane in a crash loop is used only if there is no other.

    Returns:
        The lane's id.

    Raises:
        UnavailableError: there is no lane of that kind.
    """
    row = (await conn.execute(_SELECT_LEAST_LOADED, {"kind": kind})).mappings().one_or_none()
    if row is None:
        raise UnavailableError(f"there is no {kind} lane yet: start one, or try again once it is up")
    return str(row["id"])


async def _lock_lane_changes(conn: AsyncConnection) -> None:
    """Lock the set of lanes, so that two callers never add the same id, or drain the last two lanes."""
    await conn.execute(_LOCK_CHANGES)
