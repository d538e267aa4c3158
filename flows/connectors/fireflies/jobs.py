"""Runs the jobs beside the sessions: imports of transcripts, and the webhooks that Fireflies sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import redis
import redis.asyncio
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies.accounts import FirefliesAccounts
from flows.connectors.fireflies.transcript_import import TranscriptImport
from flows.connectors.fireflies.transcript_listing import TranscriptListing
from flows.connectors.fireflies.webhook_processing import WebhookProcessing
from operators.errors import ParleyError
from operators.sources.fireflies import FIREFLIES
from storage.cancellation import raise_if_cancelled
from storage.ingest.lane_lag import LaneLags
from storage.ingest.meeting_service import MeetingService
from storage.postgres.source_imports import requeue_running_imports

POLL_S = 0.5
"""Seconds between two queries for work, after a query that found none."""
MAX_IMPORT_COUNT = 3
"""Number of imports at once. Imports mostly wait, for Fireflies or for their lane: two others pass a slow one, and three
transcripts of the maximum size fit into memory."""
FAILURE_PAUSE_S = 5.0
"""Seconds before a job continues that failed unexpectedly."""

log = structlog.get_logger(__name__)


class FirefliesJobs:
    """Runs the jobs until cancelled. What was interrupted continues at the next run.

    Args:
        database: the database.
        client: Redis, with decoded responses.
        meetings: opens and feeds the meetings.
        accounts: builds the clients of the API.
        max_live: most live meetings that a team may have at once.
    """

    def __init__(
        self,
        database: AsyncEngine,
        client: redis.asyncio.Redis,
        meetings: MeetingService,
        accounts: FirefliesAccounts,
        max_live: int,
    ) -> None:
        self._database = database
        self._imports = TranscriptImport(database, meetings, accounts, LaneLags(database, client))
        self._listing = TranscriptListing(database, accounts)
        self._webhooks = WebhookProcessing(database, meetings, accounts, max_live)

    async def run(self) -> None:
        """Run the jobs."""
        # A group ends when all jobs have ended. One that outlived the HTTP client would fail all imports.
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._webhooks.run_once))
            group.create_task(self._repeat(self._listing.run_once))
            group.create_task(self._run_imports())

    async def _run_imports(self) -> None:
        await self._requeue_interrupted_imports()
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_IMPORT_COUNT):
                group.create_task(self._repeat(self._imports.run_once))

    async def _requeue_interrupted_imports(self) -> None:
        while True:
            raise_if_cancelled()
            try:
                async with self._database.begin() as conn:
                    await requeue_running_imports(conn, FIREFLIES.name)
            except SQLAlchemyError as error:
                log.warning("connector job postponed", error=type(error).__name__)
                await asyncio.sleep(POLL_S)
            else:
                return

    async def _repeat(self, run_once: Callable[[], Awaitable[bool]]) -> None:
        while True:
            raise_if_cancelled()
            pause_s = POLL_S
            try:
                if await run_once():
                    continue
            except (SQLAlchemyError, redis.RedisError, ParleyError) as error:
                log.warning("connector job postponed", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - an unreadable row in one job must not stop the others
                log.error("connector job failed", error=type(error).__name__)
                pause_s = FAILURE_PAUSE_S
            await asyncio.sleep(pause_s)
