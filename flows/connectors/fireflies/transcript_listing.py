"""Imports of all transcripts since a date: lists them page by page, and queues an import for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies.accounts import FirefliesAccounts
from flows.connectors.fireflies.job_retries import decide_retry
from operators.errors import ParleyError
from operators.fields import MAX_TITLE_CHARS
from operators.sources.fireflies import FIREFLIES
from operators.sources.fireflies_listing import parse_transcript_list
from storage.postgres import source_import_runs, source_imports
from storage.postgres.source_import_runs import ImportRun
from storage.source_apis.fireflies import MAX_PAGE_COUNT, MAX_SKIP_COUNT

MAX_ISSUE_COUNT = 20
"""Maximum number of unreadable transcripts of a page that are named. All are counted."""

log = structlog.get_logger(__name__)


class TranscriptListing:
    """Runs the imports of all transcripts, one page at a time.

    Args:
        database: the database.
        accounts: builds the clients of the API.
    """

    def __init__(self, database: AsyncEngine, accounts: FirefliesAccounts) -> None:
        self._database, self._accounts = database, accounts

    async def run_once(self) -> bool:
        """List the next page of the run that is due for longest. Return whether there was one."""
        async with self._database.begin() as conn:
            run = await source_import_runs.start_next_run(conn, FIREFLIES.name)
        if run is None:
            return False
        try:
            api = await self._accounts.open_api(run.team_id, run.key, run.options)
            page = await api.list_transcripts(limit=MAX_PAGE_COUNT, skip=run.skip, since=run.since, until=run.until)
        except ParleyError as error:
            decision = decide_retry(error, run.attempts)
            async with self._database.begin() as conn:
                if decision.wait_s is None:
                    await source_import_runs.fail_run(conn, run.id, decision.detail)
                else:
                    await source_import_runs.postpone_run(
                        conn, run.id, seconds=decision.wait_s, attempts=decision.attempts, detail=decision.detail
                    )
            return True
        try:
            await self._store_page(run, page)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - one run must not stop those of others
            log.error("import run failed", job=str(run.id), error=type(error).__name__)
            async with self._database.begin() as conn:
                detail = f"an unexpected error occurred ({type(error).__name__})"
                await source_import_runs.fail_run(conn, run.id, detail)
        return True

    async def _store_page(self, run: ImportRun, page: Sequence[Any]) -> None:
        """Queue the page's imports, and store how far the run is, in one transaction. Unreadable items are named."""
        transcripts, issues = parse_transcript_list(page)
        until, skip = run.until, run.skip + len(page)
        if skip > MAX_SKIP_COUNT:
            # Further transcripts are listed from the oldest one so far, which is listed again.
            # A wrong date may be long before all others.
            oldest = [began for item in transcripts if (began := _to_time(item.began_at_ms)) and began >= run.since]
            until, skip = (min(oldest), 0) if oldest else (until, skip)
        is_last = len(page) < MAX_PAGE_COUNT or skip > MAX_SKIP_COUNT or (skip == 0 and until == run.until)
        queued_count = 0
        async with self._database.begin() as conn:
            for item in transcripts:
                _, is_queued = await source_imports.queue_import(
                    conn,
                    team_id=run.team_id,
                    source=run.source,
                    external_id=item.id,
                    title=item.title[:MAX_TITLE_CHARS],
                    key=run.key,
                    options=run.options,
                    config=run.config,
                )
                queued_count += is_queued
            await source_import_runs.store_page(
                conn,
                run.id,
                until=until,
                skip=skip,
                listed_count=len(page),
                queued_count=queued_count,
                issues=issues[:MAX_ISSUE_COUNT],
                issue_count=len(issues),
                state="done" if is_last else "running",
            )


def _to_time(epoch_ms: float | None) -> datetime | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC)
