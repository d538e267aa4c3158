"""Routes for lanes: their status, adding and draining them, and moving meetings between them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from operators.errors import NotFoundError
from operators.fields import Name, StrictModel
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.problems import problem_responses
from storage.ingest.lane_lag import read_lane_lags
from storage.postgres import lane_registry
from storage.postgres.lane_registry import LaneKind, LaneRecord
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(tags=["lanes"])


class LaneStatus(BaseModel):
    """A lane: one partition of the log, and its worker.

    Attributes:
        state: `running`, `stopped` (not needed now), or `crash_loop`.
        draining: whether it gets no new meetings, and its open ones move to other lanes.
        epoch: number of processes that have run the lane so far.
        lag: age in seconds of the oldest entry or due tick that is not committed.
        pending_calls: calls in flight.
        entries: entries kept in its log.
        last_heartbeat_at: when its process last reported.
    """

    id: str
    kind: LaneKind
    state: str
    draining: bool
    epoch: int
    lag: float
    open_meetings: int
    pending_calls: int
    entries: int
    node: str | None
    pid: int | None
    last_heartbeat_at: datetime


class LaneList(BaseModel):
    """All lanes, by id."""

    lanes: list[LaneStatus]


class AddLaneRequest(StrictModel):
    """A lane to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "live"}]})

    kind: LaneKind = "live"


class MoveRequest(StrictModel):
    """The lane to move a meeting to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lane": "live-2"}]})

    lane: Name


class MoveResult(BaseModel):
    """Whether a meeting is moved; false if it is in that lane already."""

    lane: str
    moved: bool


@router.get("/api/lanes")
async def list_lanes(services: ServicesDep) -> LaneList:
    """List all lanes with their status."""
    async with services.database.connect() as conn:
        lanes = await lane_registry.list_lanes(conn)
    return LaneList(lanes=await _with_lags(services, lanes))


@router.post("/api/lanes", status_code=201)
async def add_lane(new: AddLaneRequest, services: ServicesDep) -> LaneStatus:
    """Add a lane. It starts within seconds, and runs until the flow's next start, or for as long as the load requires it."""
    async with services.database.begin() as conn:
        lane_id = await lane_registry.add_lane(conn, new.kind)
    return await _get_lane(services, lane_id)


@router.post("/api/lanes/{lane_id}/drain", status_code=202, responses=problem_responses(404, 409))
async def drain_lane(lane_id: Name, services: ServicesDep) -> LaneStatus:
    """Drain a lane: its open meetings move to other lanes once their calls in flight are answered. Then the lane stops."""
    async with services.database.begin() as conn:
        await lane_registry.drain_lane(conn, lane_id)
    return await _get_lane(services, lane_id)


@router.post("/api/meetings/{meeting_id}/move", status_code=202, responses=problem_responses(404, 409))
async def move_meeting(meeting_id: UUID, target: MoveRequest, services: ServicesDep) -> MoveResult:
    """Move a meeting to another lane, once its calls in flight are answered. Nothing is lost or repeated."""
    is_moving = await services.meetings.move(DEFAULT_TEAM_ID, meeting_id, target.lane)
    return MoveResult(lane=target.lane, moved=is_moving)


async def _get_lane(services: Services, lane_id: str) -> LaneStatus:
    async with services.database.connect() as conn:
        lanes = [lane for lane in await lane_registry.list_lanes(conn) if lane.id == lane_id]
    if not lanes:
        raise NotFoundError(f"there is no lane {lane_id}")
    return (await _with_lags(services, lanes))[0]


async def _with_lags(services: Services, lanes: list[LaneRecord]) -> list[LaneStatus]:
    lag_by_lane = await read_lane_lags(services.redis, {lane.id: lane.progress for lane in lanes})
    return [
        LaneStatus(
            id=lane.id,
            kind=lane.kind,
            state=lane.state,
            draining=lane.draining,
            epoch=lane.epoch,
            lag=lag_by_lane[lane.id],
            open_meetings=lane.open_meetings,
            pending_calls=lane.pending_calls,
            entries=lane.log_length,
            node=lane.node,
            pid=lane.pid,
            last_heartbeat_at=lane.updated_at,
        )
        for lane in lanes
    ]
