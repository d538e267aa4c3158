"""The ingest API as a WebSocket: the events of `POST /api/meetings/{meeting_id}/events`, with an answer to each message."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from fastapi import APIRouter, WebSocket

from serve.http.dependencies.message_socket import MessageError, serve_messages
from serve.http.dependencies.services import ServicesDep
from serve.http.ingest_routes import MAX_EVENT_COUNT, append_valid_events
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}/events", tags=["events"])


@router.websocket("/stream")
async def stream_events(socket: WebSocket, meeting_id: UUID, services: ServicesDep) -> None:
    """Append a meeting's events over a WebSocket. Each message is an event, or `{"events": [event, …]}`.

    Each message gets an answer, in order: `{"results": […], "accepted", "repeated", "refused", "errors": […]}`. `results` has the
    outcomes of the valid events, `errors` the invalid fields of the others. An event is durable once its answer says `accepted`.
    The next message is read after the last answer. While the meeting's lane lags too far, the answer comes later.

    It closes with 4404 if there is no such meeting. 1013 means that the limit of live streams is reached, or that a store is
    unavailable: connect again later, and send the events without an answer again, with the same `event_id`.
    """

    async def check_meeting() -> None:
        async with services.database.connect() as conn:
            await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)

    async def answer(message: Any) -> dict[str, Any]:
        events = _events_of(message)
        if len(events) > MAX_EVENT_COUNT:
            return await refuse(MessageError("invalid", f"must have no more than {MAX_EVENT_COUNT} events"))
        results, errors = await append_valid_events(services, meeting_id, events, waits_for_lane=True)
        return results.model_dump() | {"errors": [{"field": error.field, "detail": error.detail} for error in errors]}

    async def refuse(error: MessageError) -> dict[str, Any]:
        await services.meetings.count_refused(DEFAULT_TEAM_ID, meeting_id, error.reason, 1)
        errors = [{"field": "message", "detail": error.fix}]
        return {"results": [], "accepted": 0, "repeated": 0, "refused": 0, "errors": errors}

    await serve_messages(socket, services, check_meeting, answer, refuse)


def _events_of(message: Any) -> list[Any]:
    if isinstance(message, dict):
        fields = cast("dict[str, Any]", message)
        events = fields.get("events")
        if isinstance(events, list) and len(fields) == 1:
            return cast("list[Any]", events)
    return [message]
