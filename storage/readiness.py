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

from operators.errors import SetupFailed
from storage.database import sync_engine, sync_redis

POLL_S = 0.1
"""Seconds between two looks at a store that is not ready."""
PING_S = 2
"""How long a Postgres gets to say whether it takes connections (seconds)."""
SAY_AFTER_S = 0.5
"""Seconds of waiting before its progress is reported."""
SAY_EVERY_S = (5.0, 60.0)
"""Least and most seconds between two reports: the longer it takes, the fewer there are."""
STALLED_S = 300.0
"""Seconds without progress after which a server of the user's own is given up. Its Postgres reports no progress."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """A store that can't be used yet.

    Attributes:
        doing: what it is doing, to follow "it is"; empty where it gives no answer.
        progress: changes when the store has made progress; None where that is unknown.
    """

    doing: str = ""
    progress: object = None


NO_ANSWER = NotReady()


class Patience:
    """How long to wait for a store, and what to report meanwhile.

    Args:
        name: of the store, for a person.
        seconds: how long to wait without progress.
        say: told what the store is doing, in words for a person.

    Attributes:
        seconds: as given.
        doing: what the store was doing last, if it ever answered.
    """

    def __init__(self, name: str, seconds: float, say: Callable[[str], None]) -> None:
        self.seconds = seconds
        self.doing = ""
        self._name, self._say = name, say
        self._progress: object = None
        self._said = ""
        self._began = time.monotonic()
        self._until, self._say_at = self._began + seconds, self._began + SAY_AFTER_S

    def is_over(self, state: NotReady) -> bool:
        """Take note of a store that is not ready. Returns whether it made no progress for too long."""
        now = time.monotonic()
        if state.progress is not None and state.progress != self._progress:
            self._progress, self._until = state.progress, now + self.seconds
        self.doing = state.doing or self.doing
        if now >= self._say_at and state.doing and state.doing != self._said:
            least, most = SAY_EVERY_S
            self._said, self._say_at = state.doing, now + min(max(least, now - self._began), most)
            self._say(f"waiting for {self._name}: it is {state.doing}")
        return now > self._until


def redis_loading(client: redis.Redis) -> NotReady | None:
    """Whether a Redis or Valkey loads its data; None where it is ready.

    Raises:
        RedisError: it can't be reached.
    """
    try:
        # Answered while it loads, unlike most commands.
        return loading(client.info("persistence"))
    except redis.ResponseError:  # This user may not ask for it.
        try:
            client.ping()
        except redis.BusyLoadingError:
            return NotReady("loading its data")
        return None


def loading(persistence: dict[str, Any]) -> NotReady | None:
    """What the section `persistence` of Redis' INFO says about the loading of data; None where it is done."""
    if not persistence.get("loading"):
        return None
    loaded, total = persistence.get("loading_loaded_bytes", 0), persistence.get("loading_total_bytes", 0)
    left = max(1, persistence.get("loading_eta_seconds", 1))
    return NotReady(f"loading its data ({loaded / 1e6:.1f} of {total / 1e6:.1f} MB, about {left} s left)", loaded)


def postgres_starting(url: str) -> NotReady | None:
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
        if not rejects(error.orig, url):
            raise
        return NotReady("starting up")
    finally:
        engine.dispose()
    return None


def rejects(error: BaseException | None, url: str | URL) -> bool:
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
    conninfo = make_conninfo("", **parts | {"connect_timeout": PING_S})
    return pq.PGconn.ping(conninfo.encode()) == pq.Ping.REJECT


def await_ready(postgres_url: str, redis_url: str, say: Callable[[str], None]) -> None:
    """Wait until a Postgres and a Redis of the user's own have their data.

    Args:
        say: told what they are doing, in words for a person.

    Raises:
        SetupFailed: one made no progress for too long.
        sqlalchemy.exc.OperationalError, RedisError: one can't be reached.
    """
    with sync_redis(redis_url) as client:
        looks: dict[str, Callable[[], NotReady | None]] = {
            "Postgres": lambda: postgres_starting(postgres_url),
            "Redis": lambda: redis_loading(client),
        }
        for name, look in looks.items():
            patience = Patience(name, STALLED_S, say)
            while (state := look()) is not None:
                if patience.is_over(state):
                    raise SetupFailed(
                        f"{name} made no progress for {STALLED_S:.0f} s; it is {state.doing}: wait until it is ready, or "
                        f"mend what its log names, and start again"
                    )
                time.sleep(POLL_S)
