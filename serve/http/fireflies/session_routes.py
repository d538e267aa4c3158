"""Routes for live sessions: connections of Parley to meetings that run on Fireflies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.config import JsonDict

from operators.errors import NotFoundError
from operators.fields import Name, StrictModel
from operators.meeting_config import TargetLanguages
from operators.sources.fireflies import FIREFLIES
from serve.http.connector_views import DisplayMode, SessionGap, read_display_mode, read_gaps
from serve.http.dependencies.request_budgets import BUDGET_EXAMPLE, BudgetView, read_budget
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.fireflies.client import connect_api, read_stored_key, store_key
from serve.http.fireflies.connect_request import ConnectRequest
from serve.http.meeting_routes import ChangeConfigRequest, change_meeting_config
from serve.http.problems import problem_responses
from storage.ingest.connector_opening import open_session
from storage.postgres import connector_sessions
from storage.postgres.connector_sessions import ConnectorSession, SessionStatus
from storage.postgres.meeting_queries import read_meeting
from storage.postgres.source_accounts import StoredSecret, read_account
from storage.records import DEFAULT_TEAM_ID, MeetingRecord
from storage.source_apis.fireflies import RecordingAction

router = APIRouter(prefix="/api/fireflies", tags=["fireflies"])

_SESSION_EXAMPLE: JsonDict = {
    "id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718293",
    "transcript_id": "ASxwZxCstx",
    "meeting_id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718294",
    "meeting_db_id": "0198c5f0-7d1e-7a2b-8c3d-4e5f60718294",
    "meeting_title": "Monday",
    "meeting_status": "ended",
    "status": "ended",
    "is_paused": False,
    "is_disconnecting": False,
    "target_languages": ["pt", "es"],
    "display_mode": "both",
    "counters": {"messages": 310, "connects": 2, "disconnects": 1, "filled": 4},
    "persistence_failures": 0,
    "persistence_healthy": True,
    "last_error": "the connection was lost",
    "gaps": [{"start": 61.5, "end": 64.0}],
    "budget": BUDGET_EXAMPLE,
    "connected_at": "2026-11-30T09:01:10Z",
    "last_message_at": "2026-11-30T09:01:12Z",
    "ended_at": "2026-11-30T09:41:00Z",
    "created_at": "2026-11-30T09:00:00Z",
}
_CONNECT_EXAMPLE: JsonDict = {**_SESSION_EXAMPLE, "ignored": ["glossary_id"]}


class DisconnectRequest(StrictModel):
    """The session to disconnect: its `session_id`, or the `transcript_id` of its meeting."""

    session_id: UUID | None = None
    transcript_id: Name | None = None

    @model_validator(mode="after")
    def _require_one(self) -> DisconnectRequest:
        if (self.session_id is None) == (self.transcript_id is None):
            raise ValueError("must have either `session_id` or `transcript_id`")
        return self


class PauseRequest(StrictModel):
    """Whether Fireflies' own recording shall be paused or resumed as well. It allows ten such changes an hour."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"recording": True}]})

    recording: bool = False


class TargetLanguagesRequest(StrictModel):
    """The languages to translate into from now on."""

    target_languages: TargetLanguages


class TargetLanguagesResult(BaseModel):
    """The languages after a change, and before it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "target_languages": ["pt", "es"], "previous": ["pt"]}]}
    )

    success: Literal[True]
    target_languages: list[str]
    previous: list[str]


class DisplayModeRequest(StrictModel):
    """The text that pages show of a session: the source, the translation, or both."""

    display_mode: DisplayMode


class SessionView(BaseModel):
    """A session: a connection to one meeting on Fireflies.

    `status` says how the connection is; `connected_at` since when. `counters` has the number of messages by outcome, and of
    requests for gaps. `gaps` is speech that may be missing. `budget` is what is left of the plan's requests; null if the key
    can't be read.

    `persistence_failures` counts the calls of a store that failed, and are repeated until they succeed. `persistence_healthy`
    says that none is being repeated. Older clients know the meeting's id as `meeting_db_id`.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_SESSION_EXAMPLE]})

    id: UUID
    transcript_id: str
    meeting_id: UUID
    meeting_db_id: UUID
    meeting_title: str
    meeting_status: str
    status: SessionStatus
    is_paused: bool
    is_disconnecting: bool
    target_languages: list[str]
    display_mode: DisplayMode
    counters: dict[str, int]
    persistence_failures: int
    persistence_healthy: bool
    last_error: str | None
    gaps: list[SessionGap]
    budget: BudgetView | None
    connected_at: datetime | None
    last_message_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


class ConnectResult(SessionView):
    """The session. `ignored` names the fields of the request that had no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CONNECT_EXAMPLE]})

    ignored: list[str]


class SessionList(BaseModel):
    """Sessions, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sessions": [_SESSION_EXAMPLE]}]})

    sessions: list[SessionView]


@router.post(
    "/connect",
    status_code=201,
    responses={200: {"model": ConnectResult, "description": "The meeting is connected already."}}
    | problem_responses(409, 429),
)
async def connect_fireflies_meeting(
    new: Annotated[
        ConnectRequest,
        Body(
            openapi_examples={
                "account": {"value": {"transcript_id": "ASxwZxCstx", "target_languages": ["pt"]}},
                "own key": {
                    "value": {
                        "transcript_id": "ASxwZxCstx",
                        "key_variable": "PARLEY_FIREFLIES_KEY",
                        "plan": "business",
                        "target_languages": ["pt", "es"],
                        "glossary": [{"term": "Parley", "do_not_translate": True}],
                    }
                },
                "older client": {
                    "value": {
                        "transcript_id": "ASxwZxCstx",
                        "target_languages": ["pt"],
                        "domain": "medicine",
                        "context_window_size": 5,
                        "pause_threshold_ms": 800,
                    }
                },
            }
        ),
    ],
    response: Response,
    services: ServicesDep,
) -> ConnectResult:
    """Connect to a meeting that runs on Fireflies. An open session of the same meeting is returned as it is.

    The connection is made within seconds; `status` and `last_error` say how it went. A key is stored encrypted, and never
    shown. 409 says that a key, or the key to encrypt it, is missing.
    """
    key, options = await store_key(services, new)
    async with services.database.connect() as conn:
        defaults = (await read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)).config
    session, is_new = await open_session(
        services.database,
        services.meetings,
        DEFAULT_TEAM_ID,
        FIREFLIES.name,
        new.transcript_id,
        key=key,
        options=options,
        config=new.build_config(defaults),
        title=new.title or f"Fireflies {new.transcript_id}",
        max_live=services.options.max_live,
    )
    if not is_new:
        response.status_code = 200
    view = await _view(services, session)
    return ConnectResult.model_validate(dict(view) | {"ignored": new.ignored_fields(is_new=is_new)})


@router.post("/disconnect", status_code=202, responses=problem_responses(404))
async def disconnect_fireflies_meeting(
    which: Annotated[DisconnectRequest, Body(openapi_examples={"by id": {"value": {"transcript_id": "ASxwZxCstx"}}})],
    services: ServicesDep,
) -> SessionView:
    """Disconnect a session. Its gaps are filled once more from the transcript, then its meeting ends."""
    session_id = which.session_id
    async with services.database.begin() as conn:
        if which.transcript_id is not None:
            found = await connector_sessions.find_open_session(
                conn, DEFAULT_TEAM_ID, FIREFLIES.name, which.transcript_id
            )
            if found is None:
                raise NotFoundError(f"there is no open session of {which.transcript_id}")
            session_id = found.id
        assert session_id is not None  # noqa: S101 - the request has one of both
        session = await connector_sessions.set_desired(conn, DEFAULT_TEAM_ID, session_id, "disconnected")
    return await _view(services, session)


@router.get("/sessions")
async def list_fireflies_sessions(
    services: ServicesDep, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> SessionList:
    """List the sessions, newest first, ended ones included."""
    return await _list(services, include_closed=True, limit=limit)


@router.get("/sessions/active")
async def list_active_fireflies_sessions(
    services: ServicesDep, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> SessionList:
    """List the sessions that are open, newest first."""
    return await _list(services, include_closed=False, limit=limit)


@router.get("/sessions/{session_id}", responses=problem_responses(404))
async def get_fireflies_session(session_id: UUID, services: ServicesDep) -> SessionView:
    """Get a session."""
    return await _view(services, await _read(services, session_id))


@router.post("/sessions/{session_id}/pause", responses=problem_responses(404, 409, 429))
async def pause_fireflies_session(
    session_id: UUID, services: ServicesDep, which: PauseRequest | None = None
) -> SessionView:
    """Pause a session: speech is discarded until it is resumed. Fireflies' recording is paused only if asked for."""
    session = await _read(services, session_id)
    await services.meetings.pause(DEFAULT_TEAM_ID, session.meeting_id)
    await _change_recording(services, session, which, "pause_recording")
    return await _view(services, session)


@router.post("/sessions/{session_id}/resume", responses=problem_responses(404, 409, 429))
async def resume_fireflies_session(
    session_id: UUID, services: ServicesDep, which: PauseRequest | None = None
) -> SessionView:
    """Resume a paused session."""
    session = await _read(services, session_id)
    await services.meetings.resume(DEFAULT_TEAM_ID, session.meeting_id)
    await _change_recording(services, session, which, "resume_recording")
    return await _view(services, session)


@router.put("/sessions/{session_id}/target-languages", responses=problem_responses(404, 409))
async def change_fireflies_target_languages(
    session_id: UUID,
    change: Annotated[
        TargetLanguagesRequest, Body(openapi_examples={"two": {"value": {"target_languages": ["pt", "es"]}}})
    ],
    services: ServicesDep,
) -> TargetLanguagesResult:
    """Change the languages to translate into. The change is an entry of the meeting's log, and holds for what follows."""
    session = await _read(services, session_id)
    log_info = await services.log.read_state(str(session.meeting_id))
    current = log_info.config if log_info else (await _read_meeting(services, session)).config
    result = await change_meeting_config(
        session.meeting_id, ChangeConfigRequest(target_languages=change.target_languages), services
    )
    return TargetLanguagesResult(
        success=True,
        target_languages=list(result.config.target_languages),
        previous=list(current.target_languages),
    )


@router.put("/sessions/{session_id}/display-mode", responses=problem_responses(404))
async def change_fireflies_display_mode(
    session_id: UUID,
    change: Annotated[DisplayModeRequest, Body(openapi_examples={"both": {"value": {"display_mode": "both"}}})],
    services: ServicesDep,
) -> SessionView:
    """Change which text pages show of the session's meeting. A reader may choose another one on the page."""
    async with services.database.begin() as conn:
        options = {"display_mode": change.display_mode}
        session = await connector_sessions.change_options(conn, DEFAULT_TEAM_ID, session_id, options)
    return await _view(services, session)


async def _change_recording(
    services: Services, session: ConnectorSession, which: PauseRequest | None, action: RecordingAction
) -> None:
    if which is None or not which.recording:
        return
    key = read_stored_key(services, StoredSecret(session.encrypted_key, session.key_variable))
    async with connect_api(services, key, session.options) as api:
        await api.change_recording(session.external_id, action)


async def _read(services: Services, session_id: UUID) -> ConnectorSession:
    async with services.database.connect() as conn:
        session = await connector_sessions.read_session(conn, DEFAULT_TEAM_ID, session_id)
    if session.source != FIREFLIES.name:
        raise NotFoundError(f"there is no session {session_id}")
    return session


async def _read_meeting(services: Services, session: ConnectorSession) -> MeetingRecord:
    async with services.database.connect() as conn:
        return await read_meeting(conn, DEFAULT_TEAM_ID, session.meeting_id)


async def _list(services: Services, *, include_closed: bool, limit: int) -> SessionList:
    async with services.database.connect() as conn:
        sessions = await connector_sessions.list_sessions(
            conn, DEFAULT_TEAM_ID, include_closed=include_closed, limit=limit
        )
    return SessionList(
        sessions=[await _view(services, session) for session in sessions if session.source == FIREFLIES.name]
    )


async def _view(services: Services, session: ConnectorSession) -> SessionView:
    meeting = await _read_meeting(services, session)
    key = StoredSecret(session.encrypted_key, session.key_variable)
    log_info = await services.log.read_state(str(meeting.id))
    config = log_info.config if log_info else meeting.config
    failure_count = session.counters.get("persistence_failures", 0)
    return SessionView(
        id=session.id,
        transcript_id=session.external_id,
        meeting_id=session.meeting_id,
        meeting_db_id=session.meeting_id,
        meeting_title=meeting.title,
        meeting_status=meeting.status,
        status=session.status,
        is_paused=log_info.status == "paused" if log_info else meeting.status == "paused",
        is_disconnecting=session.desired == "disconnected" and session.ended_at is None,
        target_languages=list(config.target_languages),
        display_mode=read_display_mode(session),
        counters=dict(session.counters),
        persistence_failures=failure_count,
        persistence_healthy=session.counters.get("persistence_recoveries", 0) >= failure_count,
        last_error=session.last_error,
        gaps=read_gaps(session),
        budget=await read_budget(services, key, session.options),
        connected_at=session.connected_at,
        last_message_at=session.last_message_at,
        ended_at=session.ended_at,
        created_at=session.created_at,
    )
