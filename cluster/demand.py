"""Whether a lane is needed: some run only while there is something for them."""

from __future__ import annotations

import time

import redis
from sqlalchemy import Engine, exists, select

from storage.log import LogReader, order
from storage.placement import ALWAYS
from storage.records import OPEN_STATUSES
from storage.tables import lanes, meetings

IDLE = 60.0
"""Seconds without work after which a lane that runs when it's needed is stopped."""
LOOK = 0.5


class Demand:
    """Whether a lane is to run.

    A lane for live meetings always is, until it's retired. Any other is while a meeting of it is open or its log holds
    what nobody has read, and for a moment longer; one that is retired is stopped at once.
    """

    def __init__(self, engine: Engine, connection: redis.Redis, lane_id: str) -> None:
        self._engine, self._lane_id = engine, lane_id
        self._reader = LogReader(connection, lane_id)
        self._asked = self._until = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._asked > LOOK:
            self._asked = now
            self._until = self._look(now)
        return now < self._until

    def _look(self, now: float) -> float:
        """Until when it is needed, as far as can be told now."""
        with self._engine.connect() as connection:
            lane = connection.execute(
                select(lanes.c.kind, lanes.c.draining, lanes.c.log_id, lanes.c.retain_after).where(
                    lanes.c.id == self._lane_id
                )
            ).one_or_none()
            if lane is None:
                return now
            open_one = exists().where(meetings.c.lane_id == self._lane_id, meetings.c.status.in_(OPEN_STATUSES))
            has_meetings = connection.execute(select(open_one)).scalar_one()
        if lane.kind in ALWAYS and not lane.draining:
            return now + IDLE
        if has_meetings or lane.retain_after is not None or order(self._reader.last_id()) > order(lane.log_id):
            return now + IDLE
        return now if lane.draining else self._until
