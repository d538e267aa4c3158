"""The lanes as a job of a Ray cluster, submitted with `ray job submit -- parley lanes run`."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager

import ray
import redis
import stamina
from sqlalchemy.exc import DBAPIError

from cluster.log_setup import LEVEL_VARIABLE, configure_logging
from cluster.runtime.lane_manager import LaneManager, store_error_message
from cluster.settings import Settings
from operators.errors import SetupError
from serve.ray_internals import JOB_ENVIRONMENT
from storage.migrations.schema_migration import upgrade_schema
from storage.readiness import wait_until_ready
from storage.store_urls import StoreUrls, check_store_urls

CONNECT_TIMEOUT_S = 60.0
"""Seconds to wait for the stores and for Ray. The parts of a cluster start in any order."""


@contextmanager
def run_lanes(settings: Settings, *, on_status: Callable[[str], None] = lambda _: None) -> Generator[None]:
    """Run the lanes and the maintenance actor on the current Ray cluster, inside the `with` block.

    Args:
        settings: the stores, the number of lanes, and the limits of their calls.
        on_status: called with a message for the user before each step.

    Raises:
        SetupError: a store or Ray can't be reached or used. The message says what to do.
        InvalidInputError: the URL of a store is invalid.
    """
    if not settings.postgres_url or not settings.redis_url:
        raise SetupError(
            "a cluster's lanes need stores that every node can reach: set PARLEY_POSTGRES_URL and PARLEY_REDIS_URL"
        )
    urls = check_store_urls(settings.postgres_url.get_secret_value(), settings.redis_url.get_secret_value())
    lane_manager = LaneManager(settings, urls)
    is_connected = False
    try:
        on_status("bringing the database up to date")
        lost_count = _prepare_lanes(lane_manager, urls, on_status)
        if lost_count:
            on_status(f"the log had lost {lost_count} accepted entries; they are counted with their meetings")
        on_status("connecting to Ray")
        _connect_to_ray(settings)
        is_connected = True
        lane_manager.start()
        lane_manager.start_maintenance()
        yield
    finally:
        lane_manager.stop()
        if is_connected:
            ray.shutdown()


def _prepare_lanes(lane_manager: LaneManager, urls: StoreUrls, on_status: Callable[[str], None]) -> int:
    try:
        for attempt in stamina.retry_context(
            on=(DBAPIError, redis.RedisError), attempts=None, timeout=CONNECT_TIMEOUT_S
        ):
            with attempt:
                wait_until_ready(urls.postgres, urls.redis, on_status)
                upgrade_schema(urls.postgres)
                return lane_manager.prepare()
    except (DBAPIError, redis.RedisError) as error:
        raise SetupError(store_error_message(error)) from error
    raise AssertionError("retries end with a result or an error")


def _connect_to_ray(settings: Settings) -> None:
    for name, value in JOB_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        for attempt in stamina.retry_context(on=ConnectionError, attempts=None, timeout=CONNECT_TIMEOUT_S):
            with attempt:
                ray.init(
                    address="auto",
                    log_to_driver=settings.log_level != "error",
                    runtime_env={
                        "worker_process_setup_hook": configure_logging,
                        "env_vars": {LEVEL_VARIABLE: settings.log_level},
                    },
                )
    except ConnectionError as error:
        raise SetupError(
            "no Ray cluster responds: run `ray job submit -- parley lanes run`, or this command on a node of the cluster"
        ) from error
