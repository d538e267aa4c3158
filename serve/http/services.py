"""What the routes work with: one database engine, one Redis client and one live hub for each replica."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import redis.asyncio
from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from serve.http.hub import Hub
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
    lags: LaneLags
    measures: Measures
    traces: Traces


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
            yield Services(options, database, client, log, meetings, hub, lags, measures, traces)
        await meetings.flush()
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await asyncio.to_thread(traces.close)
        await client.aclose()
        await database.dispose()


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


Use = Annotated[Services, Depends(_services)]
"""A route's parameter of this type is given the services."""
