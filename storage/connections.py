"""Connections to Postgres and Redis, made in one place so that all agree on pools, timeouts, time zone and encoding."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_MAX_REDIS_CONNECTIONS = 64
_REDIS_TIMEOUT_S = 15.0
"""Seconds without an answer after which a connection counts as dead; no read blocks for as long as this on purpose."""
_POSTGRES_TIMEOUT_S = 15
"""Seconds after which an unreachable server counts as dead, and after which the server ends an idle transaction."""


_PING = text("select 1")


def sync_engine(url: str) -> Engine:
    """Make a blocking engine for threads without an event loop: lanes and migrations.

    Args:
        url: `postgresql://user:password@host:port/database`.
    """
    return create_engine(_with_psycopg_driver(url), **_engine_options(pool_size=5, max_overflow=5))


def async_engine(url: str) -> AsyncEngine:
    """Make an engine for an event loop: the HTTP API and connectors. Takes the same `url` as `sync_engine`."""
    return create_async_engine(_with_psycopg_driver(url), **_engine_options(pool_size=10, max_overflow=10))


def sync_redis(url: str) -> redis.Redis:
    """Make a blocking client (`redis://:password@host:port/0`) that decodes its responses to `str`."""
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=_REDIS_TIMEOUT_S, health_check_interval=30)


def async_redis(url: str) -> redis.asyncio.Redis:
    """Make a client for an event loop. Takes the same `url` as `sync_redis`."""
    # Callers queue for a connection; redis-py's default pool would fail the hundred-and-first caller.
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
        # Parameters hold transcript text, which must not be in an error message.
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        "pool_recycle": 1800,
        "connect_args": {
            "application_name": "parley",
            "connect_timeout": 10,
            # Overrides the environment and the database's encoding, so that text is always decoded.
            "client_encoding": "utf8",
            # A process that hangs or vanishes within a transaction would keep its locks, and block its successor.
            "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={_POSTGRES_TIMEOUT_S}s",
            # Without these, a client waits for hours for a server that the network has lost.
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
    await conn.execute(_PING)
