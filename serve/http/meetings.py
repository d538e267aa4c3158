"""Meetings: begin, find, change, pause and end them. There is no sign-in yet: all are one team's, on loopback only."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, ValidationError, model_validator
from uuid6 import uuid7

from operators.errors import Invalid
from operators.model import (
    Clock,
    ConfigChanged,
    ConfigListed,
    Glossary,
    Instant,
    MeetingConfig,
    Model,
    Name,
    SourceLanguage,
    Style,
    Targets,
    Title,
    first_invalid,
)
from serve.http.events import refusal
from serve.http.problems import described
from serve.http.services import Services, Use
from storage import meetings, transcripts
from storage.log import NewEvent
from storage.records import DEFAULT_TEAM, MeetingRecord, MeetingStatus

router = APIRouter(prefix="/api/meetings", tags=["meetings"])


class CreateMeetingRequest(Model):
    """A meeting to begin. `began_at` (ms since the Unix epoch) must be given for a recorded clock, and only there."""

    external_id: Name | None = None
    title: Title = ""
    clock: Clock = Clock.LIVE
    began_at: Instant | None = None
    config: MeetingConfig = MeetingConfig()


class ChangeConfigRequest(Model):
    """The parts of a meeting's config to change; those left out stay."""

    source_language: SourceLanguage | None = None
    target_languages: Targets | None = None
    context_sentences: Annotated[int, Field(ge=0, le=20)] | None = None
    context_of_speaker: Annotated[int, Field(ge=0, le=20)] | None = None
    glossary: Glossary | None = None
    style: Style | None = None
    drafts: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> ChangeConfigRequest:
        if not self.model_fields_set:
            raise ValueError("must name something to change")
        return self


class EndRequest(Model):
    """Why a meeting ends."""

    reason: Name = "ended by request"


class MeetingState(BaseModel):
    """A meeting, but for its config.

    `last_accepted` and `last_committed` are the ordinals of the last entry accepted and processed, recorded about once a
    second; `seq` is the last live event's. `counters` counts what was late, repeated, refused, superseded, warned, dead or
    lost. `end_reason` says why it is over; where it failed, what was wrong.
    """

    id: UUID
    external_id: str | None
    title: str
    clock: Clock
    status: MeetingStatus
    lane_id: str
    generation: int
    last_committed: int
    last_accepted: int
    seq: int
    counters: dict[str, int]
    began_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    created_at: datetime


class Meeting(MeetingState):
    """A meeting."""

    config: MeetingConfig


class MeetingSummary(MeetingState):
    """A meeting without its glossary. `pending_captions` are still to come."""

    config: ConfigListed
    pending_captions: int


class MeetingDetail(Meeting):
    """A meeting as of this moment: `last_accepted` is exact, refusals are counted, `pending_captions` are still to come.

    Its lane is `lag` seconds behind, as of the last second.
    """

    pending_captions: int
    lag: float


class MeetingPage(BaseModel):
    """Meetings, newest first. `before` asks for the next page; null where there is none."""

    meetings: list[MeetingSummary]
    before: UUID | None


class ConfigChangeResult(BaseModel):
    """A change of config that is in the log: it takes effect at the entry of this `ordinal`."""

    ordinal: int | None
    config: MeetingConfig


@router.post(
    "",
    status_code=201,
    responses={200: {"model": Meeting, "description": "It was there already."}} | described(429),
)
async def begin(new: CreateMeetingRequest, response: Response, services: Use) -> Meeting:
    """Begin a meeting. The same `external_id` again gives the meeting that has it.

    429 where as many live meetings are open as may be: `Retry-After` says when to try again.
    """
    if new.began_at is not None and new.clock is Clock.LIVE:
        raise Invalid("began_at", "must be left out for a live clock")
    if new.began_at is None and new.clock is Clock.RECORDED:
        raise Invalid("began_at", "must be given for a recorded clock, in ms since the Unix epoch")
    record, created = await services.meetings.open(
        DEFAULT_TEAM,
        external_id=new.external_id,
        title=new.title,
        clock=new.clock,
        config=new.config,
        at=new.began_at,
        max_live=services.options.max_live,
    )
    if not created:
        response.status_code = 200
    return _meeting(record)


@router.get("")
async def list_meetings(
    services: Use,
    status: Annotated[list[MeetingStatus] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: UUID | None = None,
) -> MeetingPage:
    """The meetings, newest first; only those of the given statuses, if any are."""
    async with services.database.connect() as conn:
        # One more than is shown tells whether there is a next page.
        found = await meetings.list_meetings(conn, DEFAULT_TEAM, statuses=status, limit=limit + 1, before=before)
        shown = found[:limit]
        pending = await transcripts.count_pending_by_meeting(conn, DEFAULT_TEAM, [record.id for record in shown])
    return MeetingPage(
        meetings=[_listed(record, pending.get(record.id, 0)) for record in shown],
        before=shown[-1].id if len(found) > limit else None,
    )


@router.get("/{meeting_id}", responses=described(404))
async def get_meeting(meeting_id: UUID, services: Use) -> MeetingDetail:
    """A meeting, with how far it is worked off."""
    return await _now(services, await _record(services, meeting_id))


@router.patch("/{meeting_id}/config", status_code=202, responses=described(404, 409))
async def change_config(meeting_id: UUID, change: ChangeConfigRequest, services: Use) -> ConfigChangeResult:
    """Change a meeting's config from here on.

    It becomes an entry of the log, so it takes effect at a known point of the stream. What is left out stays as it is.
    """
    record = await _record(services, meeting_id)
    parts = change.model_dump(exclude_unset=True, exclude_none=True)
    info = await services.log.info(str(meeting_id))
    # A change that was accepted a moment ago is not in Postgres yet.
    before = info.config if info else record.config
    try:
        config = MeetingConfig.model_validate(before.model_dump() | parts)
    except ValidationError as error:
        raise first_invalid(error) from None
    event = NewEvent(f"config-{uuid7()}", ConfigChanged(config=config), info.last_at if info else None)
    (answer,) = await services.meetings.append(DEFAULT_TEAM, meeting_id, [event])
    if answer.reason is not None:
        raise refusal(answer.reason)
    return ConfigChangeResult(ordinal=answer.n, config=config)


@router.post("/{meeting_id}/pause", responses=described(404, 409))
async def pause(meeting_id: UUID, services: Use) -> MeetingDetail:
    """Refuse speech until the meeting is resumed."""
    await services.meetings.pause(DEFAULT_TEAM, meeting_id)
    return await get_meeting(meeting_id, services)


@router.post("/{meeting_id}/resume", responses=described(404, 409))
async def resume(meeting_id: UUID, services: Use) -> MeetingDetail:
    """Take speech again."""
    await services.meetings.resume(DEFAULT_TEAM, meeting_id)
    return await get_meeting(meeting_id, services)


@router.post("/{meeting_id}/end", status_code=202, responses=described(404))
async def end(meeting_id: UUID, services: Use, ending: EndRequest | None = None) -> MeetingDetail:
    """End a meeting. Pending captions follow; a meeting that is over stays so."""
    await services.meetings.end(DEFAULT_TEAM, meeting_id, (ending or EndRequest()).reason)
    return await get_meeting(meeting_id, services)


async def _record(services: Services, meeting_id: UUID) -> MeetingRecord:
    async with services.database.connect() as conn:
        return await meetings.get(conn, DEFAULT_TEAM, meeting_id)


async def _now(services: Services, record: MeetingRecord) -> MeetingDetail:
    async with services.database.connect() as conn:
        pending = await transcripts.count_pending(conn, DEFAULT_TEAM, record.id)
    meeting = _meeting(record)
    # The door knows what it accepted before Postgres does, and forgets it a day after the last entry.
    door = await services.log.info(str(record.id))
    if door is not None:
        meeting.last_accepted = max(meeting.last_accepted, door.n)
    meeting.counters = dict(Counter(meeting.counters) + Counter(services.meetings.pending(record.id)))
    return MeetingDetail(**dict(meeting), pending_captions=pending, lag=services.lags.of(record.lane_id))


def _meeting(record: MeetingRecord) -> Meeting:
    return Meeting.model_validate(record, from_attributes=True)


def _listed(record: MeetingRecord, pending: int) -> MeetingSummary:
    state = MeetingState.model_validate(record, from_attributes=True)
    return MeetingSummary(**dict(state), config=record.config, pending_captions=pending)
