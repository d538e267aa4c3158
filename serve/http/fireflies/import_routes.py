"""Routes for imports of transcripts: of one, of all since a date, and of those that failed."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.config import JsonDict

from operators.fields import Name, SourceLanguage
from operators.meeting_config import Glossary, MeetingConfig, TargetLanguages
from operators.sources.fireflies import FIREFLIES
from serve.http.dependencies.request_budgets import BUDGET_EXAMPLE, BudgetView, read_budget
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.fireflies.client import KeyFields, store_key
from serve.http.problems import problem_responses
from storage.postgres import source_import_runs, source_imports
from storage.postgres.source_accounts import StoredSecret, read_account
from storage.postgres.source_import_runs import ImportRun
from storage.postgres.source_imports import ImportState, SourceImport
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/fireflies", tags=["fireflies"])

_TIMES_EXAMPLE: JsonDict = {
    "due_at": "2026-11-30T09:00:00Z",
    "created_at": "2026-11-30T09:00:00Z",
    "updated_at": "2026-11-30T09:00:05Z",
}
_IMPORT_EXAMPLE: JsonDict = {
    "transcript_id": "ASxwZxCstx",
    "title": "Monday",
    "state": "queued",
    "detail": "the plan's requests are spent",
    "meeting_id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718293",
    "attempts": 1,
    "appended": 200,
    "total": 640,
    "invalid": 0,
    **_TIMES_EXAMPLE,
}
_RUN_EXAMPLE: JsonDict = {
    "id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718294",
    "since": "2026-11-01T00:00:00Z",
    "state": "running",
    "detail": "the plan's requests are spent",
    "listed": 41,
    "issue_count": 1,
    "issues": ["ASxwZxCsty: no title"],
    "queued": 40,
    **_TIMES_EXAMPLE,
}
_STATUS_EXAMPLE: JsonDict = {
    "imports": {"queued": 0, "running": 1, "done": 40, "failed": 0},
    "latest": _RUN_EXAMPLE,
    "budget": BUDGET_EXAMPLE,
}


class ImportRequest(KeyFields):
    """The options of an import. Without languages and glossary, the meeting has those of the team's account."""

    source_language: SourceLanguage | None = None
    target_languages: TargetLanguages | None = None
    glossary: Glossary | None = None


class ImportAllRequest(ImportRequest):
    """Since when to import: a date, or a time with its time zone."""

    since: AwareDatetime | date


class ImportView(BaseModel):
    """An import of a transcript.

    `appended` of `total` sentences are in the meeting's log. `invalid` sentences can't be read. `detail` says why it waits or
    failed, or why it added no text. `due_at` is when the next attempt is due.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_IMPORT_EXAMPLE]})

    transcript_id: str
    title: str
    state: ImportState
    detail: str | None
    meeting_id: UUID | None
    attempts: int
    appended: int
    total: int | None
    invalid: int
    due_at: datetime
    created_at: datetime
    updated_at: datetime


class ImportList(BaseModel):
    """Imports, the latest change first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"imports": [_IMPORT_EXAMPLE]}]})

    imports: list[ImportView]


class ImportRunView(BaseModel):
    """An import of all transcripts since a time: `listed` transcripts were found so far, and `queued` of them for import.

    Transcripts that were imported before are not queued again. `issue_count` listed transcripts can't be read and were left out;
    `issues` names the first ones of each page.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_RUN_EXAMPLE]})

    id: UUID
    since: datetime
    state: ImportState
    detail: str | None
    listed: int
    queued: int
    issue_count: int
    issues: list[str]
    due_at: datetime
    created_at: datetime
    updated_at: datetime


class SyncStatus(BaseModel):
    """The imports by state, the latest import of all transcripts, and what is left of the plan's requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STATUS_EXAMPLE]})

    imports: dict[ImportState, int]
    latest: ImportRunView | None
    budget: BudgetView | None


class RetryResult(BaseModel):
    """The number of imports that were queued again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"queued": 3}]})

    queued: int


@router.post(
    "/import/{transcript_id}",
    status_code=202,
    responses={200: {"model": ImportView, "description": "The transcript is being imported, or was imported before."}}
    | problem_responses(409),
)
async def import_fireflies_transcript(
    transcript_id: Name,
    response: Response,
    services: ServicesDep,
    how: Annotated[
        ImportRequest | None, Body(openapi_examples={"languages": {"value": {"target_languages": ["pt"]}}})
    ] = None,
) -> ImportView:
    """Import a transcript in the background. It becomes a recorded meeting, with summary, attendees and attendance.

    The import waits if the plan's requests are spent, and says so in `detail`. A failed import is tried again.
    """
    wanted = how or ImportRequest()
    key, options = await store_key(services, wanted)
    config = await _build_config(services, wanted)
    async with services.database.begin() as conn:
        record, is_queued = await source_imports.queue_import(
            conn,
            team_id=DEFAULT_TEAM_ID,
            source=FIREFLIES.name,
            external_id=transcript_id,
            config=config,
            key=key if wanted.has_key else StoredSecret(),
            options=options if wanted.has_key else {},
        )
    if not is_queued:
        response.status_code = 200
    return _to_view(record)


@router.get("/import/{transcript_id}", responses=problem_responses(404))
async def get_fireflies_import(transcript_id: Name, services: ServicesDep) -> ImportView:
    """Get the import of a transcript, with its progress."""
    async with services.database.connect() as conn:
        return _to_view(await source_imports.read_import(conn, DEFAULT_TEAM_ID, FIREFLIES.name, transcript_id))


@router.post(
    "/sync-all",
    status_code=202,
    responses={200: {"model": ImportRunView, "description": "An import of all transcripts runs already."}}
    | problem_responses(409),
)
async def import_all_fireflies_transcripts(
    how: Annotated[ImportAllRequest, Body(openapi_examples={"date": {"value": {"since": "2026-11-01"}}})],
    response: Response,
    services: ServicesDep,
) -> ImportRunView:
    """Import all transcripts since a date, in the background. `GET sync-status` shows the progress.

    It continues after a restart, and waits while the plan's requests are spent.
    """
    since = how.since
    if not isinstance(since, datetime):
        since = datetime.combine(since, time.min, UTC)
    key, options = await store_key(services, how)
    config = await _build_config(services, how)
    async with services.database.begin() as conn:
        run, is_new = await source_import_runs.add_run(
            conn,
            team_id=DEFAULT_TEAM_ID,
            source=FIREFLIES.name,
            since=since,
            key=key if how.has_key else StoredSecret(),
            options=options if how.has_key else {},
            config=config,
        )
    if not is_new:
        response.status_code = 200
    return _to_run_view(run)


@router.get("/sync-status")
async def get_fireflies_sync_status(services: ServicesDep) -> SyncStatus:
    """Get the state of the imports. It costs no request of the budget."""
    async with services.database.connect() as conn:
        counts = await source_imports.count_imports(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
        run = await source_import_runs.read_latest_run(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
        account = await read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
    key, options = (run.key, run.options) if run is not None and run.key else (account.key, account.options)
    return SyncStatus(
        imports=counts,
        latest=None if run is None else _to_run_view(run),
        budget=await read_budget(services, key, options) if key else None,
    )


@router.get("/failed")
async def list_failed_fireflies_imports(
    services: ServicesDep, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> ImportList:
    """List the failed imports with their causes, the latest first."""
    async with services.database.connect() as conn:
        failed = await source_imports.list_imports(conn, DEFAULT_TEAM_ID, FIREFLIES.name, "failed", limit)
    return ImportList(imports=[_to_view(record) for record in failed])


@router.post("/retry-failed", status_code=202)
async def retry_failed_fireflies_imports(services: ServicesDep) -> RetryResult:
    """Queue all failed imports again."""
    async with services.database.begin() as conn:
        return RetryResult(queued=await source_imports.retry_failed_imports(conn, DEFAULT_TEAM_ID, FIREFLIES.name))


@router.post("/reset/{transcript_id}", status_code=202, responses=problem_responses(404))
async def reset_fireflies_import(transcript_id: Name, services: ServicesDep) -> ImportView:
    """Import a transcript again, whatever the state of its import. Text that its meeting has is not added twice."""
    async with services.database.begin() as conn:
        return _to_view(await source_imports.reset_import(conn, DEFAULT_TEAM_ID, FIREFLIES.name, transcript_id))


async def _build_config(services: Services, wanted: ImportRequest) -> MeetingConfig:
    async with services.database.connect() as conn:
        defaults = (await read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)).config
    fields = wanted.model_dump(include={"source_language", "target_languages", "glossary"}, exclude_none=True)
    return MeetingConfig.model_validate(defaults.model_dump() | fields)


def _to_view(record: SourceImport) -> ImportView:
    return ImportView(
        transcript_id=record.external_id,
        title=record.title,
        state=record.state,
        detail=record.detail,
        meeting_id=record.meeting_id,
        attempts=record.attempts,
        appended=record.appended_count,
        total=record.total_count,
        invalid=record.invalid_count,
        due_at=record.due_at,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _to_run_view(run: ImportRun) -> ImportRunView:
    return ImportRunView(
        id=run.id,
        since=run.since,
        state=run.state,
        detail=run.detail,
        listed=run.listed_count,
        queued=run.queued_count,
        issue_count=run.issue_count,
        issues=list(run.issues),
        due_at=run.due_at,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )
