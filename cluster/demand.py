"""Whether a lane is needed: some run only while there are meetings for them."""

from __future__ import annotations

import time

from sqlalchemy import Engine, exists, select

from storage.records import OPEN_STATUSES
from storage.tables import meetings

IDLE = 60.0
"""Seconds without a meeting after which a lane that runs when it's needed is stopped."""


class Demand:
    """Whether a lane that runs when it's needed has work: some meeting of it is open, or was a moment ago."""

    def __init__(self, engine: Engine, lane_id: str) -> None:
        self._engine, self._lane_id = engine, lane_id
        self._asked = self._until = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._asked > 0.5:
            self._asked = now
            with self._engine.connect() as connection:
                open_one = exists().where(meetings.c.lane_id == self._lane_id, meetings.c.status.in_(OPEN_STATUSES))
                if connection.execute(select(open_one)).scalar_one():
                    self._until = now + IDLE
        return now < self._until
