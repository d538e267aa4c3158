"""Connections to the stores: named, in UTC, decoded, and replaced after the server dropped them."""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.connections import async_redis, sync_engine, sync_redis


async def test_sessions_are_named_and_in_utc(engine: Engine, aengine: AsyncEngine) -> None:
    question = text("select current_setting('application_name'), current_setting('TimeZone')")
    with engine.connect() as connection:
        assert tuple(connection.execute(question).one()) == ("parley", "UTC")
    async with aengine.connect() as connection:
        assert tuple((await connection.execute(question)).one()) == ("parley", "UTC")


def test_a_connection_that_died_is_replaced(postgres_url: str, engine: Engine) -> None:
    other = sync_engine(postgres_url)
    with other.connect() as connection:
        pid = connection.execute(text("select pg_backend_pid()")).scalar_one()
    with engine.connect() as connection:
        connection.execute(text("select pg_terminate_backend(:pid, 60000)"), {"pid": pid})
    with other.connect() as connection:
        assert connection.execute(text("select pg_backend_pid()")).scalar_one() != pid
    other.dispose()


async def test_redis_decodes_text_and_callers_queue(redis_url: str) -> None:
    with sync_redis(redis_url) as client:
        assert client.echo("olá") == "olá"
    async with async_redis(redis_url) as client:
        assert await asyncio.gather(*(client.echo(f"olá {i}") for i in range(300))) == [f"olá {i}" for i in range(300)]
