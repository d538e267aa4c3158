"""Carries out the plan of `flows.jobs.autoscaler`: moves meetings, and adds or drains lanes."""

from __future__ import annotations

import time

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.autoscaler import Add, LaneAutoscaler, Move
from operators.errors import ConflictError, InvalidInputError, NotFoundError
from storage.ingest.lane_lag import read_lane_lags
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import add_lane, drain_lane, list_lanes, list_meetings_by_backlog
from storage.redis_log.event_log import LogWriter

log = structlog.get_logger(__name__)


async def rebalance_lanes(
    engine: AsyncEngine, redis: Redis, meetings: MeetingService, autoscaler: LaneAutoscaler
) -> int:
    """Plan once from the lanes' present load and lag, and carry the plan out.

    Returns:
        The number of meetings moved plus the number of lanes added or drained.

    Raises:
        UnavailableError: Redis can't be reached.
    """
    async with engine.connect() as connection:
        lanes = await list_lanes(connection)
    lag_by_lane = await read_lane_lags(redis, {lane.id: lane.progress for lane in lanes})
    changes = 0
    for action in autoscaler.plan(lanes, lag_by_lane, time.monotonic()):
        match action:
            case Move():
                changes += await _move(engine, LogWriter(redis), meetings, action)
            case Add(kind):
                async with engine.begin() as connection:
                    lane_id = await add_lane(connection, kind)
                log.info("lane added", lane=lane_id)
                changes += 1
            case _:
                async with engine.begin() as connection:
                    await drain_lane(connection, action.lane_id)
                log.info("lane draining", lane=action.lane_id)
                changes += 1
    return changes


async def _move(engine: AsyncEngine, log_writer: LogWriter, meetings: MeetingService, move: Move) -> int:
    """Move up to `move.count` meetings, those with the largest backlog first.

    Meetings that are being moved already are skipped.

    Returns:
        The number of meetings moved.
    """
    async with engine.connect() as connection:
        open_meetings = await list_meetings_by_backlog(connection, move.lane_id)
    moved = 0
    for team_id, meeting_id in open_meetings:
        if moved == move.count:
            break
        info = await log_writer.read_state(str(meeting_id))
        if info is not None and info.lane_id != move.lane_id:
            continue
        try:
            moved += await meetings.move(team_id, meeting_id, move.to)
        except (ConflictError, NotFoundError, InvalidInputError) as error:
            # The meeting ended meanwhile, or the target lane is gone. Or Redis lost a recorded meeting, until its importer
            # reopens it.
            log.info("meeting not moved", meeting=str(meeting_id), lane=move.lane_id, error=type(error).__name__)
            continue
    if moved:
        log.info("moving meetings", lane=move.lane_id, to=move.to, count=moved)
    return moved
