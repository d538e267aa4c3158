"""What the routes work with: one database engine, one Redis client and one live hub for each replica."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import redis.asyncio
from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.contextvars import bind_contextvars

from serve.http.engine_problems import EngineProblems
from serve.http.hub import Hub
from serve.http.progress import ProgressReader
from serve.http.stream_limit import StreamLimit
from serve.options import ApiOptions
from storage.database import async_engine, async_redis
from storage.lag import LaneLags
from storage.log import Log
from storage.measures import Measures
from storage.meetings import Meetings
from storage.snapshots import published
from storage.tracing import Traces, open_traces


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need."""

    options: ApiOptions
    database: AsyncEngine
    redis: redis.asyncio.Redis
    log: Log
    meetings: Meetings
    hub: Hub
    progress: ProgressReader
    streams: StreamLimit
    lags: LaneLags
    measures: Measures
    traces: Traces
    problems: EngineProblems


@asynccontextmanager
async def open_services(options: ApiOptions) -> AsyncGenerator[Services]:
    """The services, for as long as the application runs. What was accepted is noted one last time at the end."""
    database = async_engine(options.postgres_url)
    client = async_redis(options.redis_url)
    log = Log(client)
    meetings = Meetings(database, log)
    hub = Hub(client)
    lags = LaneLags(database, client)
    measures = Measures(f"api/{socket.gethostname()}/{os.getpid()}")
    traces = open_traces(measures)
    background = [asyncio.create_task(each) for each in (meetings.run_ledger(), hub.run(), lags.run())]
    try:
        with published(measures, options.redis_url):
            progress, streams = ProgressReader(database), StreamLimit(options.streams)
            problems = EngineProblems()
            yield Services(
                options, database, client, log, meetings, hub, progress, streams, lags, measures, traces, problems
            )
        await meetings.flush()
    finally:
        await _end(background)
        await asyncio.to_thread(traces.close)
        await client.aclose()
        await database.dispose()


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    # Asked again: a cancellation may get lost in a client that is just connecting.
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=1)


async def _services(connection: HTTPConnection) -> Services:
    # What this request logs, in its own context, names its meeting.
    with suppress(KeyError, ValueError):
        bind_contextvars(meeting=str(UUID(connection.path_params["meeting_id"])))
    services: Services = connection.app.state.services
    return services


Use = Annotated[Services, Depends(_services)]
"""A route's parameter of this type is given the services."""
