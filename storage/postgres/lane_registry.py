"""Lanes, and which of them a meeting goes to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from operators.model import Clock
from storage.postgres.tables import lanes, meetings
from storage.records import OPEN_STATUSES

LaneKind = Literal["live", "batch"]
ALWAYS_RUNNING_KINDS: frozenset[LaneKind] = frozenset({"live"})
"""The kinds whose lanes run whether there are meetings for them or not: a live one must not wait for its lane."""


def lane_kind_for(clock: Clock) -> LaneKind:
    """The kind of lane that a meeting with this clock is for."""
    return "live" if clock is Clock.LIVE else "batch"


class LaneProgress(NamedTuple):
    """How far a lane is.

    Attributes:
        log_id: the log's id up to which it is committed.
        due_at: when its first tick is due that is not committed (ms, by Redis' time); None where none is.
    """

    log_id: str
    due_at: int | None = None


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """A lane. `epoch` counts the processes that took it over; `open_meetings` is its load.

    `log_id` is how far its log is committed, `retain_after` what it needs of it all the same; `pending_calls` have no answer;
    `log_length` entries are kept. `due_at` is when its first tick is due that is not committed (ms).
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
        """How far it is. A tick is due in open meetings only: what was noted of others, which moved or ended, is old."""
        return LaneProgress(self.log_id, self.due_at if self.open_meetings else None)


class LaneWork(NamedTuple):
    """What decides whether a lane has to run."""

    kind: LaneKind
    draining: bool
    log_id: str
    retain_after: str | None
    has_open_meetings: bool


def read_lane_work(connection: Connection, lane_id: str) -> LaneWork | None:
    """Read whether a lane has work; None if there is no such lane."""
    has_open_meetings = exists().where(meetings.c.lane_id == lanes.c.id, meetings.c.status.in_(OPEN_STATUSES))
    statement = select(lanes.c.kind, lanes.c.draining, lanes.c.log_id, lanes.c.retain_after, has_open_meetings).where(
        lanes.c.id == lane_id
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else LaneWork(*row)


def read_lane_kinds(connection: Connection) -> dict[str, LaneKind]:
    """Read all lanes by id, each with its kind."""
    return {row.id: row.kind for row in connection.execute(select(lanes.c.id, lanes.c.kind).order_by(lanes.c.id))}


def set_lane_state(connection: Connection, lane_id: str, state: str) -> None:
    """Store the state of a lane whose process can't store it itself."""
    connection.execute(update(lanes).where(lanes.c.id == lane_id).values(state=state, updated_at=func.now()))


async def list_meetings_by_backlog(conn: AsyncConnection, lane_id: str) -> list[tuple[str, UUID]]:
    """List the open meetings of a lane as team and meeting ids, those with most uncommitted entries first."""
    backlog = meetings.c.last_accepted - meetings.c.last_committed
    statement = (
        select(meetings.c.team_id, meetings.c.id)
        .where(meetings.c.lane_id == lane_id, meetings.c.status.in_(OPEN_STATUSES))
        .order_by(backlog.desc(), meetings.c.id)
    )
    return list((await conn.execute(statement)).tuples().all())


async def ensure_lane(conn: AsyncConnection, lane_id: str, kind: LaneKind) -> None:
    """Add a lane, or take one up again that was retired. One that is there already is left as it is."""
    statement = insert(lanes).values(id=lane_id, kind=kind)
    await conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"draining": False}))


async def drain_other_lanes(conn: AsyncConnection, kept_ids: Collection[str]) -> None:
    """Give no new meetings to any lane but these."""
    await conn.execute(update(lanes).where(lanes.c.id.not_in(kept_ids)).values(draining=True))


async def add_lane(conn: AsyncConnection, kind: LaneKind) -> str:
    """Add a lane of a kind: one that was retired last, or a new one. Whoever supervises the lanes starts it.

    Returns:
        Its id.
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
    """Give no new meetings to a lane; its open ones go on in others.

    Raises:
        NotFoundError: there is no such lane.
        Refused: it is the last of its kind.
    """
    await _lock_lane_changes(conn)
    lanes_by_id = {lane.id: lane for lane in await list_lanes(conn)}
    if lane_id not in lanes_by_id:
        raise NotFoundError(f"there is no lane {lane_id}")
    kind = lanes_by_id[lane_id].kind
    if not any(lane.kind == kind and not lane.draining for lane in lanes_by_id.values() if lane.id != lane_id):
        raise ConflictError("last", f"it is the last {kind} lane: add another first")
    await conn.execute(update(lanes).where(lanes.c.id == lane_id).values(draining=True))


async def check_move_target(conn: AsyncConnection, lane_id: str, kind: LaneKind) -> None:
    """Whether a meeting of a kind may move to a lane.

    Raises:
        NotFoundError: there is no such lane.
        InvalidInputError: it is of the other kind, or takes no meetings.
    """
    row = (await conn.execute(select(lanes.c.kind, lanes.c.draining).where(lanes.c.id == lane_id))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no lane {lane_id}")
    if row.kind != kind:
        raise InvalidInputError("lane", f"must be a {kind} lane, for that is what the meeting's clock needs")
    if row.draining:
        raise InvalidInputError("lane", "must be one that takes meetings: this one is being drained, or has been")


async def list_lanes(conn: AsyncConnection) -> list[LaneRecord]:
    """All lanes with their load, by id."""
    rows = await conn.execute(_select_with_load().order_by(lanes.c.id))
    return [LaneRecord(**row) for row in rows.mappings()]


async def find_least_loaded_lane(conn: AsyncConnection, kind: LaneKind) -> str:
    """The lane of a kind with the fewest open meetings. Of several, the first by id; one that keeps dying, last of all.

    Raises:
        UnavailableError: there is no lane of that kind.
    """
    statement = (
        _select_with_load()
        .where(lanes.c.kind == kind, ~lanes.c.draining)
        .order_by(lanes.c.state == "crash_loop", "open_meetings", lanes.c.id)
        .limit(1)
    )
    row = (await conn.execute(statement)).mappings().one_or_none()
    if row is None:
        raise UnavailableError(f"there is no {kind} lane yet: start one, or try again once it is up")
    return str(row["id"])


async def _lock_lane_changes(conn: AsyncConnection) -> None:
    """Wait for others that add or retire lanes: two never take the same number, or the last two lanes."""
    await conn.execute(select(func.pg_advisory_xact_lock(func.hashtext("parley.lanes"))))


def _select_with_load() -> Select[Any]:
    load = (
        select(func.count())
        .where(meetings.c.lane_id == lanes.c.id, meetings.c.status.in_(OPEN_STATUSES))
        .scalar_subquery()
        .label("open_meetings")
    )
    return select(lanes, load)
