"""Routes to begin, find, change, pause and end meetings.

There is no authentication yet: all meetings belong to one team, and only this machine may reach the API.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from operators.errors import InvalidInputError
from operators.fields import EpochMs, Language, Name, SourceLanguage, StrictModel, Title
from operators.meeting_config import (
    MAX_GLOSSARIES,
    Clock,
    Glossary,
    MeetingConfig,
    MeetingConfigSummary,
    Style,
    TargetLanguages,
)
from serve.http.connector_views import ConnectorDetail, ConnectorSummary, describe_connector, summarize_connector
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.ingest_routes import build_conflict_error
from serve.http.problems import problem_responses
from storage.postgres import connector_sessions, meeting_queries, transcript_queries
from storage.records import DEFAULT_TEAM_ID, Meeting, MeetingRecord, MeetingState, MeetingStatus

router = APIRouter(prefix="/api/meetings", tags=["meetings"])


class CreateMeetingRequest(StrictModel):
    """A meeting to begin. `began_at` (ms since the Unix epoch) is required for a recorded clock, and not allowed otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "Monday", "config": {"source_language": "en", "target_languages": ["pt"]}}]
        }
    )

    external_id: Name | None = None
    title: Title = ""
    clock: Clock = Clock.LIVE
    began_at: EpochMs | None = None
    config: MeetingConfig = MeetingConfig()


class ChangeConfigRequest(StrictModel):
    """The fields of a meeting's config to change. Omitted fields stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"target_languages": ["pt", "de"]}]})

    source_language: SourceLanguage | None = None
    target_languages: TargetLanguages | None = None
    context_sentences: Annotated[int, Field(ge=0, le=20)] | None = None
    context_of_speaker: Annotated[int, Field(ge=0, le=20)] | None = None
    glossary: Glossary | None = None
    glossary_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_GLOSSARIES)] | None = None
    style: Style | None = None
    drafts: bool | None = None
    notes: bool | None = None
    note_sentences: Annotated[int, Field(ge=1, le=50)] | None = None
    note_seconds: Annotated[int, Field(ge=10, le=3600)] | None = None
    note_language: Language | None = None

    @model_validator(mode="after")
    def _something(self) -> ChangeConfigRequest:
        if not self.model_fields_set:
            raise ValueError("must have a field to change")
        return self


class EndRequest(StrictModel):
    """Why a meeting ends."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "all have left"}]})

    reason: Name = "ended by request"


class MeetingSummary(MeetingState, frozen=True):
    """A meeting without its glossary. `pending_captions` is the number of captions that are not translated yet.

    `connector` is Parley's connection to the meeting at a source; null if there is none.
    """

    config: MeetingConfigSummary
    pending_captions: int
    connector: ConnectorSummary | None


class MeetingDetail(Meeting, frozen=True):
    """A meeting in its current state: `last_accepted` is exact, and `counters` includes the latest refusals.

    `pending_captions` is the number of captions that are not translated yet. `lag` is how many seconds the meeting's lane is
    behind, measured once a second. `connector` is Parley's connection to the meeting at a source; null if there is none.
    """

    pending_captions: int
    lag: float
    connector: ConnectorDetail | None


class MeetingPage(BaseModel):
    """Meetings, newest first. Send `before` to get the next page; it is null on the last page."""

    meetings: list[MeetingSummary]
    before: UUID | None


class ConfigChangeResult(BaseModel):
    """The config after a change. The change takes effect at the entry with this `ordinal`."""

    ordinal: int | None
    config: MeetingConfig


@router.post(
    "",
    status_code=201,
    responses={200: {"model": Meeting, "description": "A meeting with this `external_id` exists."}}
    | problem_responses(429),
)
async def create_meeting(new: CreateMeetingRequest, response: Response, services: ServicesDep) -> Meeting:
    """Begin a meeting. If a meeting with the same `external_id` exists, that one is returned.

    429 means that the limit of open live meetings is reached: `Retry-After` says when to try again.
    """
    if new.began_at is not None and new.clock is Clock.LIVE:
        raise InvalidInputError("began_at", "must be left out for a live clock")
    if new.began_at is None and new.clock is Clock.RECORDED:
        raise InvalidInputError("began_at", "must be given for a recorded clock, in ms since the Unix epoch")
    record, created = await services.meetings.open(
        DEFAULT_TEAM_ID,
        external_id=new.external_id,
        title=new.title,
        clock=new.clock,
        config=new.config,
        at_ms=new.began_at,
        max_live=services.options.max_live,
    )
    if not created:
        response.status_code = 200
    return record


@router.get("")
async def list_meetings(
    services: ServicesDep,
    status: Annotated[list[MeetingStatus] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: UUID | None = None,
) -> MeetingPage:
    """List the meetings, newest first; with `status`, those with one of the given statuses only."""
    async with services.database.connect() as conn:
        # One more than the page shows whether there is a next page.
        records = await meeting_queries.list_meetings(
            conn, DEFAULT_TEAM_ID, statuses=status, limit=limit + 1, before=before
        )
        page = records[:limit]
        ids = [record.id for record in page]
        pending = await transcript_queries.count_pending_by_meeting(conn, DEFAULT_TEAM_ID, ids)
        sessions = await connector_sessions.read_latest_sessions(conn, DEFAULT_TEAM_ID, ids)
    return MeetingPage(
        meetings=[
            MeetingSummary.model_validate(
                dict(record)
                | {
                    "pending_captions": pending.get(record.id, 0),
                    "connector": summarize_connector(sessions.get(record.id)),
                }
            )
            for record in page
        ],
        before=page[-1].id if len(records) > limit else None,
    )


@router.get("/{meeting_id}", responses=problem_responses(404))
async def get_meeting(meeting_id: UUID, services: ServicesDep) -> MeetingDetail:
    """Get a meeting, with its progress."""
    return await _with_live_counts(services, await _get_record(services, meeting_id))


@router.patch("/{meeting_id}/config", status_code=202, responses=problem_responses(404, 409))
async def change_meeting_config(
    meeting_id: UUID, change: ChangeConfigRequest, services: ServicesDep
) -> ConfigChangeResult:
    """Change a meeting's config for all that follows.

    The change is an entry of the log, so it takes effect at a known point of the stream. Omitted fields stay as they are.
    """
    # Null is a value of `note_language`, and means no change for the others.
    changes = {
        name: value
        for name, value in change.model_dump(exclude_unset=True).items()
        if value is not None or name == "note_language"
    }
    result, config = await services.meeting_configs.change(DEFAULT_TEAM_ID, meeting_id, changes)
    if result.reason is not None:
        raise build_conflict_error(result.reason)
    return ConfigChangeResult(ordinal=result.ordinal, config=config)


@router.post("/{meeting_id}/pause", responses=problem_responses(404, 409))
async def pause_meeting(meeting_id: UUID, services: ServicesDep) -> MeetingDetail:
    """Pause a meeting: chunks are refused until it is resumed."""
    await services.meetings.pause(DEFAULT_TEAM_ID, meeting_id)
    return await get_meeting(meeting_id, services)


@router.post("/{meeting_id}/resume", responses=problem_responses(404, 409))
async def resume_meeting(meeting_id: UUID, services: ServicesDep) -> MeetingDetail:
    """Resume a paused meeting: chunks are accepted again."""
    await services.meetings.resume(DEFAULT_TEAM_ID, meeting_id)
    return await get_meeting(meeting_id, services)


@router.post("/{meeting_id}/end", status_code=202, responses=problem_responses(404))
async def end_meeting(meeting_id: UUID, services: ServicesDep, ending: EndRequest | None = None) -> MeetingDetail:
    """End a meeting. Pending captions are still completed. A meeting that is already over doesn't change."""
    await services.meetings.end(DEFAULT_TEAM_ID, meeting_id, (ending or EndRequest()).reason)
    return await get_meeting(meeting_id, services)


async def _get_record(services: Services, meeting_id: UUID) -> MeetingRecord:
    async with services.database.connect() as conn:
        return await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)


async def _with_live_counts(services: Services, record: MeetingRecord) -> MeetingDetail:
    async with services.database.connect() as conn:
        pending = await transcript_queries.count_pending(conn, DEFAULT_TEAM_ID, record.id)
        sessions = await connector_sessions.read_latest_sessions(conn, DEFAULT_TEAM_ID, [record.id])
    # The log has the last accepted ordinal before Postgres, and forgets it a day after the last entry.
    log_info = await services.log.read_state(str(record.id))
    return MeetingDetail.model_validate(
        dict(record)
        | {
            "last_accepted": max(record.last_accepted, log_info.last_ordinal if log_info else 0),
            "counters": dict(Counter(record.counters) + Counter(services.meetings.unstored_counts(record.id))),
            "pending_captions": pending,
            "lag": services.lane_lags.lag_of(record.lane_id),
            "connector": await describe_connector(services, sessions.get(record.id)),
        }
    )
