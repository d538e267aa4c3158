"""Whether a store is ready: Valkey and Redis load their data when they start, Postgres recovers its own after a crash.

A store answers before it is ready. It is waited for as long as it makes progress.
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
"""Seconds between two looks at a store that is not ready."""
PING_TIMEOUT_S = 2
"""How long a Postgres gets to say whether it takes connections (seconds)."""
FIRST_REPORT_S = 0.5
"""Seconds of waiting before its progress is reported."""
REPORT_INTERVALS_S = (5.0, 60.0)
"""Least and most seconds between two reports: the longer it takes, the fewer there are."""
STALL_TIMEOUT_S = 300.0
"""Seconds without progress after which a server of the user's own is given up. Its Postgres reports no progress."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """A store that can't be used yet.

    Attributes:
        doing: what it is doing, to follow "it is"; empty where it gives no answer.
        progress: changes when the store has made progress; None where that is unknown.
    """

    activity: str = ""
    progress: object = None


NO_ANSWER = NotReady()


class StallDetector:
    """How long to wait for a store, and what to report meanwhile.

    Args:
        name: of the store, for a person.
        seconds: how long to wait without progress.
        say: told what the store is doing, in words for a person.

    Attributes:
        seconds: as given.
        doing: what the store was doing last, if it ever answered.
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
        """Take note of a store that is not ready. Returns whether it made no progress for too long."""
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
    """Whether a Redis or Valkey loads its data; None where it is ready.

    Raises:
        RedisError: it can't be reached.
    """
    try:
        # Answered while it loads, unlike most commands.
        return parse_loading_info(client.info("persistence"))
    except redis.ResponseError:  # This user may not ask for it.
        try:
            client.ping()
        except redis.BusyLoadingError:
            return NotReady("loading its data")
        return None


def parse_loading_info(persistence: dict[str, Any]) -> NotReady | None:
    """What the section `persistence` of Redis' INFO says about the loading of data; None where it is done."""
    if not persistence.get("loading"):
        return None
    loaded, total = persistence.get("loading_loaded_bytes", 0), persistence.get("loading_total_bytes", 0)
    seconds_left = max(1, persistence.get("loading_eta_seconds", 1))
    return NotReady(
        f"loading its data ({loaded / 1e6:.1f} of {total / 1e6:.1f} MB, about {seconds_left} s left)", loaded
    )


def check_postgres_ready(url: str) -> NotReady | None:
    """Whether a Postgres is starting up or recovering; None where it is ready.

    Args:
        url: `postgresql://user:password@host:port/database`.

    Raises:
        sqlalchemy.exc.OperationalError: it can't be reached.
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
    """Whether a Postgres that could not be connected to runs, and takes no connections yet.

    Args:
        error: what connecting to it raised.
        url: as for `postgres_starting`. User and password need not be right.
    """
    # Asking blocks all threads of this process: a server that gave no answer in time is not asked again.
    if not isinstance(error, psycopg.OperationalError) or isinstance(error, psycopg.errors.ConnectionTimeout):
        return False
    # psycopg does not give the code of a refused connection, and its words are in the server's language. libpq tells.
    url = make_url(url)
    parts: dict[str, Any] = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    conninfo = make_conninfo("", **parts | {"connect_timeout": PING_TIMEOUT_S})
    return pq.PGconn.ping(conninfo.encode()) == pq.Ping.REJECT


def wait_until_ready(postgres_url: str, redis_url: str, on_progress: Callable[[str], None]) -> None:
    """Wait until a Postgres and a Redis of the user's own have their data.

    Args:
        say: told what they are doing, in words for a person.

    Raises:
        SetupError: one made no progress for too long.
        sqlalchemy.exc.OperationalError, RedisError: one can't be reached.
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
                        f"mend what its log names, and start again"
                    )
                time.sleep(POLL_S)
