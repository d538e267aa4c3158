"""The flow as a job of a Ray cluster: what `ray job submit -- parley lanes run` does there."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager

import ray
import redis
import stamina
from sqlalchemy.exc import DBAPIError

from cluster.flow import Flow, unusable
from cluster.logs import LEVEL, configure_logs
from cluster.settings import Settings
from operators.errors import SetupFailed
from storage.embedded import StoreUrls
from storage.migrate import upgrade
from storage.readiness import await_ready
from storage.urls import checked_stores

REACH_FOR = 60.0
"""Seconds that stores and Ray get to answer: a cluster's parts start in any order."""


@contextmanager
def run_flow(settings: Settings, *, say: Callable[[str], None] = lambda _: None) -> Generator[None]:
    """Lanes and the maintenance actor on the Ray cluster around, for as long as the block.

    Args:
        settings: the stores, how many lanes, how they call.
        say: told what is being started, in words for a person.

    Raises:
        SetupFailed: says what could not be reached or used, and what to do.
        Invalid: the address of a store is wrong.
    """
    if not settings.postgres_url or not settings.redis_url:
        raise SetupFailed(
            "a cluster's lanes need stores that every node reaches: give PARLEY_POSTGRES_URL and PARLEY_REDIS_URL"
        )
    urls = checked_stores(settings.postgres_url.get_secret_value(), settings.redis_url.get_secret_value())
    flow = Flow(settings, urls)
    try:
        say("bringing the database up to date")
        lost = _prepare(flow, urls, say)
        if lost:
            say(f"the log had lost {lost} accepted entries; they are counted with their meetings")
        say("connecting to Ray")
        _connect(settings)
        flow.start()
        flow.start_maintenance()
        yield
    finally:
        flow.stop()
        ray.shutdown()


def _prepare(flow: Flow, urls: StoreUrls, say: Callable[[str], None]) -> int:
    try:
        for attempt in stamina.retry_context(on=(DBAPIError, redis.RedisError), attempts=None, timeout=REACH_FOR):
            with attempt:
                await_ready(urls.postgres, urls.redis, say)
                upgrade(urls.postgres)
                return flow.prepare()
    except (DBAPIError, redis.RedisError) as error:
        raise SetupFailed(unusable(error)) from error
    raise AssertionError("retries end with a result or an error")


def _connect(settings: Settings) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A job submitted with a log level of its own has named that variable already, which Ray would refuse as a conflict.
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    try:
        for attempt in stamina.retry_context(on=ConnectionError, attempts=None, timeout=REACH_FOR):
            with attempt:
                ray.init(
                    address="auto",
                    log_to_driver=settings.log_level != "error",
                    runtime_env={
                        "worker_process_setup_hook": configure_logs,
                        "env_vars": {LEVEL: settings.log_level},
                    },
                )
    except ConnectionError as error:
        raise SetupFailed(
            "no Ray answers: start this with `ray job submit -- parley lanes run`, or on a node of the cluster"
        ) from error
