"""Fixtures of real stores: from the environment's URLs, else in containers, else Parley's embedded stores."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
import stamina
from psycopg.errors import DeadlockDetected
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.connections import async_engine, async_redis, sync_engine, sync_redis
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.migrations.schema_migration import upgrade_schema
from storage.postgres.tables import metadata
from storage.store_urls import StoreUrls


def _has_docker() -> bool:
    try:
        import docker

        docker.from_env(timeout=5).ping()
    except Exception:  # noqa: BLE001 - any error means that Docker is not usable
        return False
    return True


def _start_containers(stack: ExitStack) -> StoreUrls:
    from testcontainers.postgres import PostgresContainer
    from testcontainers.redis import RedisContainer

    postgres = stack.enter_context(PostgresContainer("pgvector/pgvector:pg18", driver=None))
    valkey = stack.enter_context(RedisContainer("valkey/valkey:9"))
    address = f"{valkey.get_container_host_ip()}:{valkey.get_exposed_port(6379)}"
    return StoreUrls(postgres=postgres.get_connection_url(), redis=f"redis://{address}/0")


def _make_worker_databases(urls: StoreUrls) -> StoreUrls:
    """Create separate databases for this process of pytest-xdist in the shared servers, and return their URLs."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return urls
    postgres = make_url(urls.postgres)
    name = f"{postgres.database}_{worker}"
    server = sync_engine(urls.postgres)
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'drop database if exists "{name}" with (force)'))
        connection.execute(text(f'create database "{name}"'))
    server.dispose()
    number = int(urlsplit(urls.redis).path.strip("/") or 0) + 1 + int(worker.removeprefix("gw"))
    return StoreUrls(
        postgres.set(database=name).render_as_string(hide_password=False),
        urlsplit(urls.redis)._replace(path=f"/{number}").geturl(),
    )


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A temporary folder that servers running as `nobody` can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="parley-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def _stores(open_folder: Path) -> Iterator[StoreUrls]:
    """The stores' URLs. Tests empty the databases of PARLEY_TEST_POSTGRES_URL and PARLEY_TEST_REDIS_URL."""
    postgres, redis_url = os.environ.get("PARLEY_TEST_POSTGRES_URL"), os.environ.get("PARLEY_TEST_REDIS_URL")
    with ExitStack() as stack:
        if postgres and redis_url:
            urls = StoreUrls(postgres, redis_url)
        elif _has_docker():
            urls = _start_containers(stack)
        else:
            urls = stack.enter_context(EmbeddedStores(open_folder / "stores", durable=False))
        urls = StoreUrls(postgres or urls.postgres, redis_url or urls.redis)
        yield _make_worker_databases(urls) if postgres or redis_url else urls


@pytest.fixture(scope="session")
def postgres_url(_stores: StoreUrls) -> str:
    """The URL of a database at the newest schema."""
    upgrade_schema(_stores.postgres)
    return _stores.postgres


@pytest.fixture(scope="session")
def redis_url(_stores: StoreUrls) -> str:
    """The URL of a Redis that only the tests use."""
    return _stores.redis


@pytest.fixture(scope="session")
def engine(postgres_url: str) -> Iterator[Engine]:
    """A blocking engine. Committed changes persist: use `clean_database` beside it."""
    engine = sync_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
async def aengine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An asynchronous engine. Committed changes persist: use `clean_database` beside it."""
    engine = async_engine(postgres_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def db(aengine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection within a transaction that is rolled back afterwards. Commit in it with `begin_nested`."""
    async with aengine.connect() as connection:
        transaction = await connection.begin()
        try:
            yield connection
        finally:
            await transaction.rollback()


@pytest.fixture
async def clean_database(aengine: AsyncEngine) -> AsyncIterator[None]:
    """Empty every table after the test, except for the default team."""
    yield
    tables = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables if table.name != "teams")
    # Asynchronous, so that the test's unfinished tasks on the loop can end; the lock timeout reports tasks that never end.
    # A request that is still read from may hold one table and wait for another one: then Postgres ends this transaction.
    async for attempt in stamina.retry_context(on=_is_deadlock, attempts=10, timeout=None, wait_max=1.0):
        with attempt:
            async with aengine.begin() as connection:
                await connection.execute(text("set local lock_timeout = '60s'"))
                await connection.execute(text(f"truncate {tables} restart identity cascade"))
                await connection.execute(text("delete from teams where id <> 'default'"))
                await connection.execute(text("update teams set counters = '{}'"))


def _is_deadlock(error: Exception) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, DeadlockDetected)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give calls, metrics and spans a minute to finish when a lane or an exporter closes."""
    monkeypatch.setattr("flows.lane.runner.DRAIN_TIMEOUT_S", 60.0)
    monkeypatch.setattr("storage.observability.metrics_federation.CLOSE_TIMEOUT_S", 60.0)
    monkeypatch.setattr("storage.observability.otlp_exporter.CLOSE_TIMEOUT_S", 60.0)


@pytest.fixture
def redis_sync(redis_url: str) -> Iterator[redis.Redis]:
    """A blocking client of an empty Redis."""
    with sync_redis(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
async def redis_async(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of an empty Redis."""
    async with async_redis(redis_url) as client:
        await client.flushdb()
        yield client
