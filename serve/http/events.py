"""Events of a meeting from its source: the way into the log over HTTP."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from operators.errors import Overloaded, Refused
from operators.model import Chunk, ConfigChanged, Ended, Instant, Model, Name, Payload
from serve.http.problems import FieldError, Rejected, described, field_errors, problem
from serve.http.services import Services, Use
from storage import meetings
from storage.log import Appended, NewEvent
from storage.records import DEFAULT_TEAM

MAX_EVENTS = 1_000
"""Events a request may hold."""

MAX_WAIT_S = 30
"""The longest a sender is told to wait where a lane is behind."""

_FIXES = {
    "ended": "the meeting is over; start a new one",
    "failed": "the meeting could not go on; its `end_reason` says why. Start a new one",
    "paused": "the meeting is paused; resume it first",
    "no_time": "the meeting has a recorded clock; give each event its `at`, in ms",
}

router = APIRouter(prefix="/api/meetings/{meeting_id}/events", tags=["events"])

_PAYLOADS: dict[str, type[Chunk | ConfigChanged | Ended]] = {"chunk": Chunk, "config": ConfigChanged, "ended": Ended}


class EventBatch(Model):
    """Events in their order. An empty list only says that the source of a recorded meeting is still there."""

    events: Annotated[list[Any], Field(max_length=MAX_EVENTS)]


class SourceEvent(Model):
    """An event as a source sends it.

    `event_id` makes repeats harmless: the same one again is taken once. `at` (ms since the Unix epoch) is when it
    happened, for recorded clocks. The payload is a chunk, `{"config": {…}}` or `{"reason": …}`.
    """

    event_id: Name = Field(default_factory=lambda: str(uuid4()))
    kind: Literal["chunk", "config", "ended"] = "chunk"
    at: Instant | None = None
    payload: dict[str, Any] = Field(default_factory=dict[str, Any])


class EventResult(BaseModel):
    """What became of an event. `index` is its place in the request, `ordinal` its place in the meeting if accepted."""

    index: int
    event_id: str
    outcome: Literal["accepted", "repeated", "refused"]
    ordinal: int | None
    reason: str | None


class EventBatchResult(BaseModel):
    """What became of a batch."""

    results: list[EventResult]
    accepted: int
    repeated: int
    refused: int


# The schema is told apart: events are read one by one, so that a wrong one does not keep the others out.
@router.post(
    "",
    response_model=EventBatchResult,
    responses=described(404, 409, 429),
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
                                "maxItems": MAX_EVENTS,
                                "items": SourceEvent.model_json_schema(),
                            }
                        },
                    }
                }
            }
        }
    },
)
async def append(meeting_id: UUID, batch: EventBatch, services: Use) -> EventBatchResult | JSONResponse:
    """Accept events into a meeting's log. Once accepted, an event is not lost.

    Wrong events do not keep the others of the batch out: 422 names each wrong field, and holds the results of the rest.
    Where the meeting's lane is too far behind, nothing of the batch is taken: 429, and `Retry-After` says when to send
    it again. The end of a meeting is taken all the same.
    """
    events: dict[int, NewEvent] = {}
    errors: list[FieldError] = []
    for index, raw in enumerate(batch.events):
        event = _read(index, raw)
        if isinstance(event, NewEvent):
            events[index] = event
        else:
            errors += event
    await hold_back(services, meeting_id, events.values(), len(batch.events))
    if wrong := len(batch.events) - len(events):
        await services.meetings.refuse(DEFAULT_TEAM, meeting_id, "invalid", wrong)
    answers: list[Appended] = []
    if events or not errors:
        with services.measures.time("arrival"):
            answers = await services.meetings.append(DEFAULT_TEAM, meeting_id, list(events.values()))
    results = _results(list(events), answers)
    if errors:
        raise Rejected(errors, results.model_dump())
    if results.refused and results.refused == len(answers):
        first = refusal(results.results[0].reason or "ended")
        return problem("refused", 409, first.fix, reason=first.reason, **results.model_dump())
    return results


async def hold_back(services: Services, meeting_id: UUID, events: Collection[NewEvent], count: int) -> None:
    """Refuse events for now if their meeting's lane is too far behind. Its end, and no event at all, are no burden.

    Args:
        count: how many events are refused then, those included that could not be read.

    Raises:
        Overloaded: says how long to wait.
    """
    limit = services.options.lag_limit
    if services.lags.worst <= limit or all(isinstance(event.payload, Ended) for event in events):
        return
    door = await services.log.info(str(meeting_id))
    # A meeting that takes nothing more says so itself.
    if door is None or door.status != "open":
        return
    # One that moves waits for the lane that has not let go of it yet.
    async with services.database.connect() as conn:
        leaves = (await meetings.get(conn, DEFAULT_TEAM, meeting_id)).lane_id
    lag = max(services.lags.of(door.lane), services.lags.of(leaves))
    if lag <= limit:
        return
    await services.meetings.refuse(DEFAULT_TEAM, meeting_id, "lag", count)
    # Whoever is told to wait is there: a recording's lease must not run out meanwhile.
    await services.meetings.append(DEFAULT_TEAM, meeting_id, [])
    wait = min(max(1, math.ceil(lag - limit)), MAX_WAIT_S)
    raise Overloaded("lag", f"the meeting's lane is {lag:.0f} s behind; send all of this again in {wait} s", wait)


def refusal(reason: str) -> Refused:
    """Why the log's door refused an event, and what to do about it."""
    return Refused(reason, _FIXES[reason])


def _read(index: int, raw: Any) -> NewEvent | list[FieldError]:
    try:
        event = SourceEvent.model_validate(raw)
    except ValidationError as error:
        return field_errors(error, "events", index)
    try:
        payload: Payload = _PAYLOADS[event.kind].model_validate(event.payload)
    except ValidationError as error:
        return field_errors(error, "events", index, "payload")
    if isinstance(payload, Chunk) and payload.resubmitted:
        return [
            FieldError(f"events.{index}.payload.resubmitted", "must be left out: only dead letters are resubmitted")
        ]
    return NewEvent(event.event_id, payload, event.at)


def _results(places: list[int], answers: list[Appended]) -> EventBatchResult:
    results = [
        EventResult(
            index=index, event_id=answer.event_id, outcome=answer.outcome, ordinal=answer.n, reason=answer.reason
        )
        for index, answer in zip(places, answers, strict=True)
    ]
    count = [result.outcome for result in results].count
    return EventBatchResult(
        results=results, accepted=count("accepted"), repeated=count("repeated"), refused=count("refused")
    )
