"""Routes that ask Fireflies at once: meetings that run now, lists of transcripts, one transcript, and invitations.

Each costs one request of the plan's budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from operators.characters import is_blank
from operators.fields import Name, Title
from operators.sources.fireflies_listing import parse_transcript_list
from operators.sources.fireflies_transcripts import parse_transcript
from serve.http.dependencies.request_budgets import BUDGET_EXAMPLE, BudgetView
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.fireflies.client import KeyFields, open_api
from serve.http.problems import problem_responses
from storage.postgres import meeting_queries, source_metadata
from storage.records import DEFAULT_TEAM_ID
from storage.source_apis.fireflies import MAX_PAGE_COUNT, MAX_SKIP_COUNT, FirefliesApi

router = APIRouter(tags=["fireflies"])

_LISTED_EXAMPLE: JsonDict = {"id": "ASxwZxCstx", "title": "Monday"}
_METADATA_EXAMPLE: JsonDict = {"summary": {"overview": "A launch is planned."}, "participants": ["ann@example.com"]}
_TRANSCRIPT_EXAMPLE: JsonDict = {
    **_LISTED_EXAMPLE,
    "began_at_ms": 1_795_000_000_000,
    "is_live": False,
    "sentences": [{"speaker": "Ann", "text": "Good morning.", "start": 0.5, "end": 1.4}],
    "invalid": 0,
    "metadata": _METADATA_EXAMPLE,
    "budget": BUDGET_EXAMPLE,
}
_SOURCE_METADATA_EXAMPLE: JsonDict = {
    "source": "fireflies",
    "external_id": "ASxwZxCstx",
    "content": _METADATA_EXAMPLE,
    "updated_at": "2026-11-30T09:00:00Z",
}
KeyBody = Annotated[KeyFields | None, Body(openapi_examples={"account": {"value": {}}})]


class ActiveMeetingsRequest(KeyFields):
    """Which meetings to list: those of an organizer, and those that are `active` or `paused`."""

    email: Annotated[str, Field(max_length=320)] | None = None
    states: list[Literal["active", "paused"]] | None = None


class TranscriptsRequest(KeyFields):
    """A page of transcripts: `limit` of them after the `skip` newest ones, and only those between two times."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_COUNT)] = 20
    skip: Annotated[int, Field(ge=0, le=MAX_SKIP_COUNT)] = 0
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    keyword: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class InviteRequest(KeyFields):
    """The meeting that the notetaker shall join. `duration_min` is in minutes. Fireflies allows three invitations in 20 minutes."""

    meeting_link: Annotated[str, Field(min_length=1, max_length=2_000)]
    title: Title | None = None
    duration_min: Annotated[int, Field(ge=15, le=120)] | None = None
    language: Annotated[str, Field(max_length=20)] | None = None
    meeting_password: Annotated[str, Field(max_length=200)] | None = None


class ActiveMeetings(BaseModel):
    """The meetings that run now, as Fireflies sends them. `id` is the `transcript_id` to connect to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"meetings": [_LISTED_EXAMPLE], "budget": BUDGET_EXAMPLE}]}
    )

    meetings: list[dict[str, Any]]
    budget: BudgetView


class TranscriptPage(BaseModel):
    """Transcripts of meetings that are over, newest first, as Fireflies sends them.

    Send `next_skip` as `skip` to get the next page. It is null on the last page, and after 5,000 transcripts: then send an
    earlier `until`. `issues` names transcripts that can't be read, and are left out.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"transcripts": [_LISTED_EXAMPLE], "issues": [], "next_skip": 20, "budget": BUDGET_EXAMPLE}]
        }
    )

    transcripts: list[dict[str, Any]]
    issues: list[str]
    next_skip: int | None
    budget: BudgetView


class TranscriptSentence(BaseModel):
    """A sentence of a transcript. Times are seconds from the meeting's start."""

    speaker: str
    text: str
    start: float
    end: float


class TranscriptView(BaseModel):
    """A transcript. `metadata` has the summary, attendees, attendance and analytics; `invalid` counts unreadable sentences."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TRANSCRIPT_EXAMPLE]})

    id: str
    title: str
    began_at_ms: int | None
    is_live: bool
    sentences: list[TranscriptSentence]
    invalid: int
    metadata: dict[str, Any]
    budget: BudgetView


class Invitation(BaseModel):
    """Fireflies' answer to an invitation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"success": True, "message": "The notetaker joins the meeting", "budget": BUDGET_EXAMPLE}]
        }
    )

    success: Literal[True]
    message: str
    budget: BudgetView


class SourceMetadataView(BaseModel):
    """The facts that a source has about a meeting: summary, attendees, attendance, links, as the source sends them."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SOURCE_METADATA_EXAMPLE]})

    source: str
    external_id: str
    content: dict[str, Any]
    updated_at: datetime


@router.post("/api/fireflies/meetings", responses=problem_responses(409, 429))
async def list_fireflies_meetings(
    services: ServicesDep,
    which: Annotated[
        ActiveMeetingsRequest | None, Body(openapi_examples={"active": {"value": {"states": ["active"]}}})
    ] = None,
) -> ActiveMeetings:
    """List the meetings that run now on Fireflies."""
    wanted = which or ActiveMeetingsRequest()
    async with open_api(services, wanted) as api:
        states = None if wanted.states is None else list[str](wanted.states)
        meetings = await api.list_active_meetings(wanted.email, states)
        return ActiveMeetings(meetings=_to_dicts(meetings), budget=await _read_budget(api))


@router.post("/api/fireflies/transcripts", responses=problem_responses(409, 429))
async def list_fireflies_transcripts(
    services: ServicesDep,
    which: Annotated[
        TranscriptsRequest | None,
        Body(openapi_examples={"page": {"value": {"limit": 20, "skip": 20, "since": "2026-11-01T00:00:00Z"}}}),
    ] = None,
) -> TranscriptPage:
    """List transcripts of meetings that are over, newest first."""
    wanted = which or TranscriptsRequest()
    async with open_api(services, wanted) as api:
        page = await api.list_transcripts(
            limit=wanted.limit,
            skip=wanted.skip,
            since=wanted.since,
            until=wanted.until,
            keyword=None if wanted.keyword is None or is_blank(wanted.keyword) else wanted.keyword,
        )
        transcripts, issues = parse_transcript_list(page)
        next_skip = wanted.skip + len(page)
        has_more = len(page) == wanted.limit and next_skip <= MAX_SKIP_COUNT
        return TranscriptPage(
            transcripts=[transcript.content for transcript in transcripts],
            issues=issues,
            next_skip=next_skip if has_more else None,
            budget=await _read_budget(api),
        )


@router.get("/api/fireflies/transcript/{transcript_id}", responses=problem_responses(404, 409, 429))
async def get_fireflies_transcript(transcript_id: Name, services: ServicesDep) -> TranscriptView:
    """Get a transcript from Fireflies, with the key of the team's account. Nothing is stored."""
    return await _get_transcript(services, transcript_id, KeyFields())


@router.post("/api/fireflies/transcript/{transcript_id}", responses=problem_responses(404, 409, 429))
async def get_fireflies_transcript_with_key(
    transcript_id: Name, services: ServicesDep, fields: KeyBody = None
) -> TranscriptView:
    """Get a transcript from Fireflies, with a key of the request. Nothing is stored."""
    return await _get_transcript(services, transcript_id, fields or KeyFields())


@router.post("/api/fireflies/invite-bot", responses=problem_responses(409, 429))
async def invite_fireflies_notetaker(
    invitation: Annotated[
        InviteRequest,
        Body(openapi_examples={"meet": {"value": {"meeting_link": "https://meet.google.com/abc-defg-hij"}}}),
    ],
    services: ServicesDep,
) -> Invitation:
    """Invite Fireflies' notetaker to a meeting that runs now."""
    async with open_api(services, invitation) as api:
        message = await api.invite_notetaker(
            invitation.meeting_link,
            title=invitation.title,
            duration_min=invitation.duration_min,
            language=invitation.language,
            password=invitation.meeting_password,
        )
        return Invitation(success=True, message=message, budget=await _read_budget(api))


@router.get("/api/meetings/{meeting_id}/source-metadata", responses=problem_responses(404))
async def get_source_metadata(meeting_id: UUID, services: ServicesDep) -> SourceMetadataView:
    """Get the summary, attendees and attendance that came with a meeting's import."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        found = await source_metadata.read_metadata(conn, DEFAULT_TEAM_ID, meeting_id)
    return SourceMetadataView.model_validate(found, from_attributes=True)


async def _get_transcript(services: Services, transcript_id: str, fields: KeyFields) -> TranscriptView:
    async with open_api(services, fields) as api:
        transcript = parse_transcript(await api.read_transcript(transcript_id))
        return TranscriptView(
            id=transcript.id,
            title=transcript.title,
            began_at_ms=transcript.began_at_ms,
            is_live=transcript.is_live,
            sentences=[
                TranscriptSentence(speaker=chunk.speaker, text=chunk.text, start=chunk.start, end=chunk.end)
                for chunk in transcript.chunks
            ],
            invalid=transcript.invalid_count,
            metadata=dict(transcript.metadata),
            budget=await _read_budget(api),
        )


async def _read_budget(api: FirefliesApi) -> BudgetView:
    return BudgetView(**asdict(await api.budget.read()))


def _to_dicts(items: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(item) for item in items]
