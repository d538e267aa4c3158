"""The ingest API: appends the events of a meeting's source to the log."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from operators.entries import Chunk, ConfigChanged, EntryPayload, MeetingEnded
from operators.errors import ConflictError, OverloadedError
from operators.fields import EpochMs, Name, StrictModel
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.problems import BatchValidationError, FieldError, field_errors, problem_response, problem_responses
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID
from storage.redis_log.event_log import AppendResult, NewEvent

MAX_EVENT_COUNT = 1_000
"""The most events in a request."""

MAX_WAIT_S = 30
"""The longest `Retry-After` in seconds for a lane that lags."""

_FIXES = {
    "ended": "the meeting is over; start a new one",
    "failed": "the meeting failed; its `end_reason` says why. Start a new one",
    "paused": "the meeting is paused; resume it first",
    "no_time": "the meeting has a recorded clock; give each event its `at`, in ms",
}

router = APIRouter(prefix="/api/meetings/{meeting_id}/events", tags=["events"])

_PAYLOAD_TYPES: dict[str, type[Chunk | ConfigChanged | MeetingEnded]] = {
    "chunk": Chunk,
    "config": ConfigChanged,
    "ended": MeetingEnded,
}


class EventBatch(StrictModel):
    """Events in their order. An empty list only renews the lease of a recorded meeting: its source is still connected."""

    events: Annotated[list[Any], Field(max_length=MAX_EVENT_COUNT)]


class SourceEvent(StrictModel):
    """An event of a meeting's source.

    `event_id` makes retries safe: events with the same id are accepted once. `at` (ms since the Unix epoch) is when the event
    happened, for recorded clocks. The payload is a chunk, `{"config": {…}}` or `{"reason": …}`.
    """

    event_id: Name = Field(default_factory=lambda: str(uuid4()))
    kind: Literal["chunk", "config", "ended"] = "chunk"
    at: EpochMs | None = None
    payload: dict[str, Any] = Field(default_factory=dict[str, Any])


class EventResult(BaseModel):
    """The result of an event. `index` is its place in the request; `ordinal` is its place in the meeting, if it was accepted."""

    index: int
    event_id: str
    outcome: Literal["accepted", "repeated", "refused"]
    ordinal: int | None
    reason: str | None


class EventBatchResult(BaseModel):
    """The result of a batch: that of each event, and how many had each outcome."""

    results: list[EventResult]
    accepted: int
    repeated: int
    refused: int


# The schema is given here because events are validated one by one, so that an invalid event doesn't reject the others.
@router.post(
    "",
    response_model=EventBatchResult,
    responses=problem_responses(404, 409, 429),
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["events"],
                        "properties": {
                            "events": {
                                "type": "array",
                                "maxItems": MAX_EVENT_COUNT,
                                "items": SourceEvent.model_json_schema(),
                            }
                        },
                    },
                    "example": {
                        "events": [
                            {
                                "event_id": "1",
                                "payload": {
                                    "chunk_id": "1",
                                    "speaker": "Ann",
                                    "text": "Good morning.",
                                    "start": 0.5,
                                    "end": 1.4,
                                },
                            }
                        ]
                    },
                }
            }
        }
    },
)
async def append_events(meeting_id: UUID, batch: EventBatch, services: ServicesDep) -> EventBatchResult | JSONResponse:
    """Append events to a meeting's log. Once it returns `accepted`, an event is durable.

    Invalid events don't reject the rest of the batch: 422 names each invalid field, and has the results of the valid events.
    If the meeting's lane lags too far behind, the whole batch is rejected with 429. `Retry-After` says when to send it again.
    A batch that only ends the meeting is accepted even then.
    """
    results, errors = await append_valid_events(services, meeting_id, batch.events)
    if errors:
        raise BatchValidationError(errors, results.model_dump())
    if results.refused and results.refused == len(results.results):
        first = build_conflict_error(results.results[0].reason or "ended")
        return problem_response("refused", 409, first.fix, reason=first.reason, **results.model_dump())
    return results


async def append_valid_events(
    services: Services, meeting_id: UUID, raw_events: Sequence[Any], *, waits_for_lane: bool = False
) -> tuple[EventBatchResult, list[FieldError]]:
    """Append the valid events of a batch, and count the invalid ones.

    Args:
        services: the services.
        meeting_id: the meeting.
        raw_events: the decoded events.
        waits_for_lane: whether the client waits while the meeting's lane lags. Then a refusal because of it is not counted.

    Returns:
        The results of the valid events, and the invalid fields of the others.

    Raises:
        NotFoundError: there is no such meeting.
        OverloadedError: the meeting's lane lags too far. Nothing was appended.
    """
    events: dict[int, NewEvent] = {}
    errors: list[FieldError] = []
    for index, raw in enumerate(raw_events):
        event = _parse_event(index, raw)
        if isinstance(event, NewEvent):
            events[index] = event
        else:
            errors += event
    await refuse_if_lagging(services, meeting_id, events.values(), 0 if waits_for_lane else len(raw_events))
    if invalid_count := len(raw_events) - len(events):
        await services.meetings.count_refused(DEFAULT_TEAM_ID, meeting_id, "invalid", invalid_count)
    append_results: list[AppendResult] = []
    if events or not errors:
        with services.metrics.measure("arrival"):
            append_results = await services.meetings.append(DEFAULT_TEAM_ID, meeting_id, list(events.values()))
    return _build_results(list(events), append_results), errors


async def refuse_if_lagging(services: Services, meeting_id: UUID, events: Collection[NewEvent], count: int) -> None:
    """Reject events if their meeting's lane lags too far behind (backpressure).

    The meeting's end and an empty batch are never rejected, because they add no load.

    Args:
        services: the services.
        meeting_id: the meeting.
        events: the valid events of the batch.
        count: number of events to count as rejected, invalid ones included.

    Raises:
        OverloadedError: the lane lags by more than the limit. The error says how long to wait.
    """
    limit = services.options.lag_limit
    if services.lane_lags.max_lag <= limit or all(isinstance(event.payload, MeetingEnded) for event in events):
        return
    log_info = await services.log.read_state(str(meeting_id))
    # `append` rejects events of a meeting that isn't open, with the reason.
    if log_info is None or log_info.status != "open":
        return
    # A moving meeting waits for its previous lane, which the log's state still names.
    async with services.database.connect() as conn:
        current_lane = (await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)).lane_id
    lag = max(services.lane_lags.lag_of(log_info.lane_id), services.lane_lags.lag_of(current_lane))
    if lag <= limit:
        return
    await services.meetings.count_refused(DEFAULT_TEAM_ID, meeting_id, "lag", count)
    # A source that has to wait is still connected, so the lease of a recorded meeting must not expire meanwhile.
    await services.meetings.append(DEFAULT_TEAM_ID, meeting_id, [])
    wait_s = min(max(1, math.ceil(lag - limit)), MAX_WAIT_S)
    raise OverloadedError(
        "lag", f"the meeting's lane is {lag:.0f} s behind; send the whole batch again in {wait_s} s", wait_s
    )


def build_conflict_error(reason: str) -> ConflictError:
    """Build the error for an event that the log refused, with the fix.

    Args:
        reason: the log's reason: `ended`, `failed`, `paused` or `no_time`.
    """
    return ConflictError(reason, _FIXES[reason])


def _parse_event(index: int, raw: Any) -> NewEvent | list[FieldError]:
    try:
        event = SourceEvent.model_validate(raw)
    except ValidationError as error:
        return field_errors(error, "events", index)
    try:
        payload: EntryPayload = _PAYLOAD_TYPES[event.kind].model_validate(event.payload)
    except ValidationError as error:
        return field_errors(error, "events", index, "payload")
    if isinstance(payload, Chunk) and payload.resubmitted:
        return [
            FieldError(f"events.{index}.payload.resubmitted", "must be left out: only dead letters are resubmitted")
        ]
    return NewEvent(event.event_id, payload, event.at)


def _build_results(places: list[int], append_results: list[AppendResult]) -> EventBatchResult:
    results = [
        EventResult(
            index=index, event_id=answer.event_id, outcome=answer.outcome, ordinal=answer.ordinal, reason=answer.reason
        )
        for index, answer in zip(places, append_results, strict=True)
    ]
    count = [result.outcome for result in results].count
    return EventBatchResult(
        results=results, accepted=count("accepted"), repeated=count("repeated"), refused=count("refused")
    )
