"""Readiness checks of the stores: Valkey and Redis load their data at start, and Postgres recovers after a crash.

A store accepts connections before it is ready. Callers wait for as long as it makes progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import redis
from psycopg import pq
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import OperationalError

from operators.errors import SetupError
from storage.connections import sync_engine, sync_redis

POLL_S = 0.1
"""Seconds between two checks of a store that is not ready."""
PING_TIMEOUT_S = 2
"""Seconds that Postgres gets to report whether it accepts connections."""
FIRST_REPORT_S = 0.5
"""Seconds of waiting before its progress is reported."""
REPORT_INTERVALS_S = (5.0, 60.0)
"""Shortest and longest interval between two progress reports, in seconds. It grows with the time waited."""
STALL_TIMEOUT_S = 300.0
"""Seconds without progress after which the wait for an external server fails. External Postgres reports no progress."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """A store that can't be used yet.

    Attributes:
        activity: what the store is doing, worded to follow "it is"; empty if it gives no answer.
        progress: a value that changes if the store has made progress; None if that is unknown.
    """

    activity: str = ""
    progress: object = None


NO_ANSWER = NotReady()


class StallDetector:
    """Detects that a store has stopped making progress, and reports its progress meanwhile.

    Args:
        name: the store's name, for messages.
        timeout_s: how long to wait without progress, in seconds.
        on_progress: called with a message about what the store is doing.

    Attributes:
        timeout_s: as given.
        last_activity: what the store was last doing; empty if it never answered.
    """

    def __init__(self, name: str, timeout_s: float, on_progress: Callable[[str], None]) -> None:
        self.timeout_s = timeout_s
        self.last_activity = ""
        self._name, self._on_progress = name, on_progress
        self._progress: object = None
        self._last_report = ""
        self._started_at = time.monotonic()
        self._stalled_at, self._next_report_at = self._started_at + timeout_s, self._started_at + FIRST_REPORT_S

    def is_stalled(self, state: NotReady) -> bool:
        """Record that the store is not ready. Returns whether it has made no progress for too long."""
        now = time.monotonic()
        if state.progress is not None and state.progress != self._progress:
            self._progress, self._stalled_at = state.progress, now + self.timeout_s
        self.last_activity = state.activity or self.last_activity
        if now >= self._next_report_at and state.activity and state.activity != self._last_report:
            shortest, longest = REPORT_INTERVALS_S
            self._last_report, self._next_report_at = (
                state.activity,
                now + min(max(shortest, now - self._started_at), longest),
            )
            self._on_progress(f"waiting for {self._name}: it is {state.activity}")
        return now > self._stalled_at


def check_redis_ready(client: redis.Redis) -> NotReady | None:
    """Check whether Redis or Valkey has loaded its data.

    Returns:
        What it is doing; None if it is ready.

    Raises:
        RedisError: the server can't be reached.
    """
    try:
        # INFO works while the server loads, unlike most commands.
        return parse_loading_info(client.info("persistence"))
    except redis.ResponseError:  # This user has no permission for INFO.
        try:
            client.ping()
        except redis.BusyLoadingError:
            return NotReady("loading its data")
        return None


def parse_loading_info(persistence: dict[str, Any]) -> NotReady | None:
    """Parse the loading progress from the section `persistence` of Redis' INFO; None if the data is loaded."""
    if not persistence.get("loading"):
        return None
    loaded, total = persistence.get("loading_loaded_bytes", 0), persistence.get("loading_total_bytes", 0)
    seconds_left = max(1, persistence.get("loading_eta_seconds", 1))
    return NotReady(
        f"loading its data ({loaded / 1e6:.1f} of {total / 1e6:.1f} MB, about {seconds_left} s left)", loaded
    )


def check_postgres_ready(url: str) -> NotReady | None:
    """Check whether Postgres accepts connections.

    Args:
        url: `postgresql://user:password@host:port/database`.

    Returns:
        What it is doing if it is starting up or recovering; None if it is ready.

    Raises:
        sqlalchemy.exc.OperationalError: the server can't be reached.
    """
    engine = sync_engine(url)
    try:
        engine.connect().close()
    except OperationalError as error:
        if not is_rejecting_connections(error.orig, url):
            raise
        return NotReady("starting up")
    finally:
        engine.dispose()
    return None


def is_rejecting_connections(error: BaseException | None, url: str | URL) -> bool:
    """Return whether Postgres runs but accepts no connections yet, after a connection attempt failed.

    Args:
        error: the error of the connection attempt.
        url: as for `check_postgres_ready`. User and password need not be right.
    """
    # The ping blocks all threads of this process, so a server that has just timed out is not pinged.
    if not isinstance(error, psycopg.OperationalError) or isinstance(error, psycopg.errors.ConnectionTimeout):
        return False
    # psycopg reports no code for a rejected connection, and the message is in the server's language. libpq's ping has one.
    url = make_url(url)
    parts: dict[str, Any] = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    conninfo = make_conninfo("", **parts | {"connect_timeout": PING_TIMEOUT_S})
    return pq.PGconn.ping(conninfo.encode()) == pq.Ping.REJECT


def wait_until_ready(postgres_url: str, redis_url: str, on_progress: Callable[[str], None]) -> None:
    """Wait until an external Postgres and Redis are ready.

    Args:
        postgres_url: `postgresql://user:password@host:port/database`.
        redis_url: `redis://:password@host:port/0`.
        on_progress: called with messages about what the servers are doing.

    Raises:
        SetupError: a server made no progress for too long.
        sqlalchemy.exc.OperationalError, RedisError: a server can't be reached.
    """
    with sync_redis(redis_url) as client:
        checks: dict[str, Callable[[], NotReady | None]] = {
            "Postgres": lambda: check_postgres_ready(postgres_url),
            "Redis": lambda: check_redis_ready(client),
        }
        for name, check in checks.items():
            stall_detector = StallDetector(name, STALL_TIMEOUT_S, on_progress)
            while (state := check()) is not None:
                if stall_detector.is_stalled(state):
                    raise SetupError(
                        f"{name} made no progress for {STALL_TIMEOUT_S:.0f} s; it is {state.activity}: wait until it is ready, or "
                        f"fix what its log reports, and start again"
                    )
                time.sleep(POLL_S)
