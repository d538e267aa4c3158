"""Keeps the lanes balanced: looks at them, decides by `flows.jobs.autoscaler`, and has it done."""

from __future__ import annotations

import time

import structlog
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.autoscaler import Add, LaneAutoscaler, Move
from operators.errors import Invalid, Refused, Unknown
from storage.lag import lags
from storage.log import Log
from storage.meetings import Meetings
from storage.placement import add_lane, list_lanes, retire_lane
from storage.records import OPEN_STATUSES
from storage.tables import meetings as meetings_table

log = structlog.get_logger(__name__)


async def rebalance_lanes(engine: AsyncEngine, redis: Redis, meetings: Meetings, balance: LaneAutoscaler) -> int:
    """One round.

    Returns:
        How many meetings moved, and lanes were added or retired.

    Raises:
        Unavailable: Redis can't be reached.
    """
    async with engine.connect() as connection:
        lanes = await list_lanes(connection)
    behind = await lags(redis, {lane.id: lane.progress for lane in lanes})
    done = 0
    for action in balance.plan(lanes, behind, time.monotonic()):
        match action:
            case Move():
                done += await _move(engine, Log(redis), meetings, action)
            case Add(kind):
                async with engine.begin() as connection:
                    lane_id = await add_lane(connection, kind)
                log.info("lane added", lane=lane_id)
                done += 1
            case _:
                async with engine.begin() as connection:
                    await retire_lane(connection, action.lane_id)
                log.info("lane is being drained", lane=action.lane_id)
                done += 1
    return done


async def _move(engine: AsyncEngine, log_writer: Log, meetings: Meetings, move: Move) -> int:
    """Move as many meetings as asked, those first that have most waiting, but none that is on its way already."""
    m = meetings_table.c
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(m.team_id, m.id)
            .where(m.lane_id == move.lane_id, m.status.in_(OPEN_STATUSES))
            .order_by((m.accepted - m.n).desc(), m.id)
        )
        found = rows.tuples().all()
    moved = 0
    for team_id, meeting_id in found:
        if moved == move.count:
            break
        info = await log_writer.info(str(meeting_id))
        if info is not None and info.lane != move.lane_id:
            continue
        try:
            moved += await meetings.move(team_id, meeting_id, move.to)
        except (Refused, Unknown, Invalid) as error:
            # It ended meanwhile, or the lane went; or Redis forgot a recording, which its importer must open again.
            log.info("meeting stays", meeting=str(meeting_id), lane=move.lane_id, error=type(error).__name__)
            continue
    if moved:
        log.info("meetings move", lane=move.lane_id, to=move.to, count=moved)
    return moved
