"""The services that the routes use: one database engine, one Redis client and one live fan-out for each replica."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import redis.asyncio
from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.contextvars import bind_contextvars

from serve.app_options import ApiOptions
from serve.http.dependencies.engine_problems import EngineProblems
from serve.http.dependencies.live_fanout import LiveFanout
from serve.http.dependencies.meeting_progress import ProgressReader
from serve.http.dependencies.stream_limit import StreamLimit
from storage.cancellation import cancel_tasks
from storage.connections import async_engine, async_redis
from storage.ingest.lane_lag import LaneLags
from storage.ingest.meeting_configs import MeetingConfigs
from storage.ingest.meeting_service import MeetingService
from storage.ingest.source_sessions import SourceSessions
from storage.observability.metrics_federation import publish_metrics
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.tracing import SentenceTraces, open_traces
from storage.redis_log.event_log import LogWriter


@dataclass(frozen=True, slots=True)
class Services:
    """The services of a replica."""

    options: ApiOptions
    database: AsyncEngine
    redis: redis.asyncio.Redis
    log: LogWriter
    meetings: MeetingService
    meeting_configs: MeetingConfigs
    fanout: LiveFanout
    progress: ProgressReader
    stream_limit: StreamLimit
    lane_lags: LaneLags
    metrics: ProcessMetrics
    traces: SentenceTraces
    engine_problems: EngineProblems
    source_sessions: SourceSessions
    parsing: asyncio.Semaphore
    """Held while a transcript file is parsed, so that only one is at a time."""


@asynccontextmanager
async def open_services(options: ApiOptions) -> AsyncGenerator[Services]:
    """Open the services for as long as the application runs. At the end the accepted ordinals are stored a last time."""
    database = async_engine(options.postgres_url)
    redis_client = async_redis(options.redis_url)
    log = LogWriter(redis_client)
    meetings = MeetingService(database, log)
    fanout = LiveFanout(redis_client)
    lane_lags = LaneLags(database, redis_client)
    metrics = ProcessMetrics(f"api/{socket.gethostname()}/{os.getpid()}")
    traces = open_traces(metrics)
    background = [asyncio.create_task(job) for job in (meetings.run_ledger(), fanout.run(), lane_lags.run())]
    try:
        with publish_metrics(metrics, options.redis_url):
            progress, stream_limit = ProgressReader(database), StreamLimit(options.streams)
            engine_problems = EngineProblems()
            yield Services(
                options,
                database,
                redis_client,
                log,
                meetings,
                MeetingConfigs(database, log, meetings),
                fanout,
                progress,
                stream_limit,
                lane_lags,
                metrics,
                traces,
                engine_problems,
                SourceSessions(redis_client),
                asyncio.Semaphore(),
            )
        await meetings.flush_ledger()
    finally:
        await cancel_tasks(background)
        await asyncio.to_thread(traces.close)
        await redis_client.aclose()
        await database.dispose()


async def _get_services(connection: HTTPConnection) -> Services:
    # All log lines of this request name its meeting.
    with suppress(KeyError, ValueError):
        bind_contextvars(meeting=str(UUID(connection.path_params["meeting_id"])))
    services: Services = connection.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_get_services)]
"""Type of a route's parameter into which FastAPI injects the services."""
