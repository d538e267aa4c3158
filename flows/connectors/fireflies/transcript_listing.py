"""Imports of all transcripts since a date: lists them page by page, and queues an import for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.connectors.fireflies.accounts import FirefliesAccounts
from flows.connectors.fireflies.job_retries import decide_retry
from operators.errors import ParleyError
from operators.fields import MAX_INSTANT_MS, MAX_NAME_CHARS, MAX_TITLE_CHARS
from operators.sources.fireflies import FIREFLIES
from storage.postgres import source_import_runs, source_imports
from storage.postgres.source_import_runs import ImportRun
from storage.source_apis.fireflies import MAX_PAGE_COUNT, MAX_SKIP_COUNT


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
        await self._store_page(run, page)
        return True

    async def _store_page(self, run: ImportRun, page: Sequence[Mapping[str, Any]]) -> None:
        """Queue the page's imports, and store how far the run is, in one transaction."""
        until, skip = run.until, run.skip + len(page)
        if skip > MAX_SKIP_COUNT:
            # Further transcripts are listed from the oldest one so far, which is listed again.
            oldest = [began for item in page if (began := _began_at(item)) is not None]
            until, skip = (min(oldest), 0) if oldest else (until, skip)
        is_last = len(page) < MAX_PAGE_COUNT or skip > MAX_SKIP_COUNT or (skip == 0 and until == run.until)
        queued_count = 0
        async with self._database.begin() as conn:
            for item in page:
                external_id = item.get("id")
                if not isinstance(external_id, str) or not 0 < len(external_id) <= MAX_NAME_CHARS:
                    continue
                _, is_queued = await source_imports.queue_import(
                    conn,
                    team_id=run.team_id,
                    source=run.source,
                    external_id=external_id,
                    title=str(item.get("title") or "").replace("\x00", "")[:MAX_TITLE_CHARS],
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
                state="done" if is_last else "running",
            )


def _began_at(item: Mapping[str, Any]) -> datetime | None:
    date = item.get("date")
    if isinstance(date, int | float) and 0 <= date <= MAX_INSTANT_MS:
        return datetime.fromtimestamp(date / 1000, UTC)
    return None
