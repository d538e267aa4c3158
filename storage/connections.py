"""Connections to Postgres and to Redis, made in one place so that all of them agree on pools, time and text."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_MAX_REDIS_CONNECTIONS = 64
_REDIS_TIMEOUT_S = 15.0
"""After which a silent connection counts as dead; no read waits as long as this on purpose."""
_POSTGRES_TIMEOUT_S = 15
"""After which a vanished server counts as dead, and the server ends a transaction that its client has fallen silent in."""


def sync_engine(url: str) -> Engine:
    """A blocking engine for threads that have no event loop: the lanes, migrations.

    Args:
        url: `postgresql://user:password@host:port/database`.
    """
    return create_engine(_with_psycopg_driver(url), **_engine_options(pool_size=5, max_overflow=5))


def async_engine(url: str) -> AsyncEngine:
    """An engine for an event loop: the HTTP API, connectors. Takes the same `url` as `sync_engine`."""
    return create_async_engine(_with_psycopg_driver(url), **_engine_options(pool_size=10, max_overflow=10))


def sync_redis(url: str) -> redis.Redis:
    """A blocking client (`redis://:password@host:port/0`) that reads text as text."""
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=_REDIS_TIMEOUT_S, health_check_interval=30)


def async_redis(url: str) -> redis.asyncio.Redis:
    """A client for an event loop. Takes the same `url` as `sync_redis`."""
    # Callers queue for a connection; redis-py's own pool would fail the hundred-and-first.
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_REDIS_CONNECTIONS,
        timeout=_REDIS_TIMEOUT_S,
        decode_responses=True,
        socket_timeout=_REDIS_TIMEOUT_S,
        health_check_interval=30,
    )
    return redis.asyncio.Redis.from_pool(pool)


def _with_psycopg_driver(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def _engine_options(*, pool_size: int, max_overflow: int) -> dict[str, Any]:
    return {
        # A connection that died with a restarted server is noticed before it is used.
        "pool_pre_ping": True,
        # Values are what was said: an error must not quote them.
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        "pool_recycle": 1800,
        "connect_args": {
            "application_name": "parley",
            "connect_timeout": 10,
            # Whatever the environment and the database say: text is text, and never bytes.
            "client_encoding": "utf8",
            # A process that stands still or has vanished in a transaction would keep its locks, and its successor waiting.
            "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={_POSTGRES_TIMEOUT_S}s",
            # Without these, who waits for an answer of a server that the network has lost waits for hours.
            "keepalives_idle": _POSTGRES_TIMEOUT_S // 3,
            "keepalives_interval": _POSTGRES_TIMEOUT_S // 3,
            "keepalives_count": 2,
            "tcp_user_timeout": _POSTGRES_TIMEOUT_S * 1000,
        },
    }


async def ping(conn: AsyncConnection) -> None:
    """Check that Postgres answers.

    Raises:
        SQLAlchemyError: it doesn't.
    """
    await conn.execute(text("select 1"))
