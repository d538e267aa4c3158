"""The lanes: how they do, adding and draining them, and moving meetings between them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from operators.errors import Unknown
from operators.model import Model, Name
from serve.http.problems import described
from serve.http.services import Services, Use
from storage.lag import lags
from storage.placement import LaneKind, LaneRecord, add_lane, list_lanes, retire_lane
from storage.records import DEFAULT_TEAM

router = APIRouter(tags=["lanes"])


class Lane(BaseModel):
    """A lane.

    Attributes:
        state: `running`, `stopped` (it is not needed now), or `crash_loop`.
        retired: it takes no new meetings, and its open ones go on in others.
        epoch: how many processes have had it.
        lag: seconds that the oldest entry or due tick has waited which is not committed.
        waiting: calls without an answer; entries: kept in its log.
        seen_at: its last sign of life.
    """

    id: str
    kind: LaneKind
    state: str
    retired: bool
    epoch: int
    lag: float
    open_meetings: int
    waiting: int
    entries: int
    node: str | None
    pid: int | None
    seen_at: datetime


class Lanes(BaseModel):
    """All lanes, by id."""

    lanes: list[Lane]


class NewLane(Model):
    """A lane to add."""

    kind: LaneKind = "live"


class Target(Model):
    """The lane that a meeting is to go on in."""

    lane: Name


class Moving(BaseModel):
    """Whether a meeting moves; not if it is there already."""

    lane: str
    moves: bool


@router.get("/api/lanes")
async def show_lanes(services: Use) -> Lanes:
    """All lanes, and how they do."""
    async with services.database.connect() as conn:
        lanes = await list_lanes(conn)
    return Lanes(lanes=await _described(services, lanes))


@router.post("/api/lanes", status_code=201)
async def add(new: NewLane, services: Use) -> Lane:
    """Add a lane. It starts within seconds, and stays until the next start of the flow, or while the load asks for it."""
    async with services.database.begin() as conn:
        lane_id = await add_lane(conn, new.kind)
    return await _lane(services, lane_id)


@router.post("/api/lanes/{lane_id}/drain", status_code=202, responses=described(404, 409))
async def drain(lane_id: Name, services: Use) -> Lane:
    """Drain a lane: its open meetings go on in others, once their calls are answered, and it stops."""
    async with services.database.begin() as conn:
        await retire_lane(conn, lane_id)
    return await _lane(services, lane_id)


@router.post("/api/meetings/{meeting_id}/move", status_code=202, responses=described(404, 409))
async def move(meeting_id: UUID, target: Target, services: Use) -> Moving:
    """Have a meeting go on in another lane, once its calls are answered. Nothing of it is lost or said twice."""
    moves = await services.meetings.move(DEFAULT_TEAM, meeting_id, target.lane)
    return Moving(lane=target.lane, moves=moves)


async def _lane(services: Services, lane_id: str) -> Lane:
    async with services.database.connect() as conn:
        lanes = [lane for lane in await list_lanes(conn) if lane.id == lane_id]
    if not lanes:
        raise Unknown(f"there is no lane {lane_id}")
    return (await _described(services, lanes))[0]


async def _described(services: Services, lanes: list[LaneRecord]) -> list[Lane]:
    behind = await lags(services.redis, {lane.id: lane.progress for lane in lanes})
    return [
        Lane(
            id=lane.id,
            kind=lane.kind,
            state=lane.state,
            retired=lane.retired,
            epoch=lane.epoch,
            lag=behind[lane.id],
            open_meetings=lane.open_meetings,
            waiting=lane.waiting,
            entries=lane.log_length,
            node=lane.node,
            pid=lane.pid,
            seen_at=lane.updated_at,
        )
        for lane in lanes
    ]
