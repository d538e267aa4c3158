"""The WebSocket of transcript sources: a source's messages as they are, with an answer to each."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, WebSocket

from operators.sources import find_adapter
from serve.http.dependencies.message_socket import MessageError, serve_messages
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import FieldError
from serve.http.sources.intake import MessageResult, SourceDelivery, authenticate, read_config, take_messages
from serve.http.sources.routes import (
    MAX_MESSAGE_COUNT,
    MeetingQuery,
    SessionQuery,
    SourceName,
    SpeakerQuery,
    summarize,
)
from storage.postgres import meeting_queries, teams
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/sources", tags=["sources"])


@router.websocket("/{source}/stream")
async def stream_messages(
    socket: WebSocket,
    source: SourceName,
    services: ServicesDep,
    meeting: MeetingQuery = None,
    session: SessionQuery = "default",
    speaker: SpeakerQuery = None,
) -> None:
    """Take a source's messages over a WebSocket. Each message gets an answer like that of the webhook, in order.

    The next message is read after the last answer. While the meeting's lane lags too far, the answer comes later.

    It closes with 4401 if the signature or key is wrong. 4404 means that there is no such source or meeting, 4422 that the
    address is invalid. 1013 means that the limit of live streams is reached, or that a store is unavailable: connect again.
    """
    deliveries: list[SourceDelivery] = []

    async def check_request() -> None:
        adapter = find_adapter(source)
        config = await read_config(services, source)
        await authenticate(services, source, config, dict(socket.headers), b"", is_socket=True)
        if meeting is not None:
            async with services.database.connect() as conn:
                await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting)
        deliveries.append(SourceDelivery(adapter, config, meeting, session, speaker, None, waits_for_lane=True))

    async def answer(message: Any) -> dict[str, Any]:
        messages = cast("list[Any]", message) if isinstance(message, list) else [message]
        if len(messages) > MAX_MESSAGE_COUNT:
            return await refuse(MessageError("invalid", f"must have no more than {MAX_MESSAGE_COUNT} messages"))
        return summarize(await take_messages(services, deliveries[0], messages)).model_dump()

    async def refuse(error: MessageError) -> dict[str, Any]:
        if meeting is not None:
            await services.meetings.count_refused(DEFAULT_TEAM_ID, meeting, error.reason, 1)
        else:
            async with services.database.begin() as conn:
                await teams.count_refusal(conn, DEFAULT_TEAM_ID, error.reason)
        errors = [FieldError("message", error.fix)]
        return summarize([MessageResult(index=0, outcome="refused", reason=error.reason, errors=errors)]).model_dump()

    await serve_messages(socket, services, check_request, answer, refuse)
