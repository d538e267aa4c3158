"""The demand for a lane: batch lanes run only while they have work."""

from __future__ import annotations

import time

import redis
from sqlalchemy import Engine

from storage.postgres.lane_registry import ALWAYS_RUNNING_KINDS, read_lane_work
from storage.redis_log.lane_stream import LaneStream, parse_stream_id

IDLE_TIMEOUT_S = 60.0
"""Seconds without work after which a batch lane is stopped."""
POLL_S = 0.5
"""Seconds between two queries for the demand."""


class LaneDemand:
    """Decides whether a lane must run. Call it for the current answer.

    A live lane must run until it is drained. A batch lane must run while it has an open meeting. It must also run
    while it has entries in the log that it has not committed or still needs. It runs for `IDLE_TIMEOUT_S` longer. A draining
    lane without work stops at once.

    Args:
        engine: the database.
        connection: the log's Redis.
        lane_id: the lane's id.
    """

    def __init__(self, engine: Engine, connection: redis.Redis, lane_id: str) -> None:
        self._engine, self._lane_id = engine, lane_id
        self._reader = LaneStream(connection, lane_id)
        self._last_polled_at = self._needed_until = 0.0

    def __call__(self) -> bool:
        """Check whether the lane has to run."""
        now = time.monotonic()
        if now - self._last_polled_at > POLL_S:
            self._last_polled_at = now
            self._needed_until = self._poll(now)
        return now < self._needed_until

    def _poll(self, now: float) -> float:
        """Return the time until which the lane is needed, as known now."""
        with self._engine.connect() as connection:
            lane = read_lane_work(connection, self._lane_id)
        if lane is None:
            return now
        if lane.kind in ALWAYS_RUNNING_KINDS and not lane.draining:
            return now + IDLE_TIMEOUT_S
        if (
            lane.has_open_meetings
            or lane.retain_after is not None
            or parse_stream_id(self._reader.last_id()) > parse_stream_id(lane.log_id)
        ):
            return now + IDLE_TIMEOUT_S
        return now if lane.draining else self._needed_until
