"""Routes for the live events of a meeting: a WebSocket and server-sent events, with the same events on the same path."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, Depends, Header, Query, Response, WebSocket, WebSocketDisconnect
from fastapi.sse import EventSourceResponse, format_sse_event

from operators.errors import InvalidInputError, NotFoundError, UnavailableError
from operators.fields import Language
from serve.http.dependencies.live_fanout import LiveEvent
from serve.http.dependencies.meeting_progress import MeetingProgress
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.live.push_metrics import record_push
from serve.http.live.subscription import HEARTBEAT_KIND, LiveSubscription, stream_events
from serve.http.problems import problem_responses
from storage.cancellation import cancel_tasks
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/meetings/{meeting_id}/events", tags=["live events"])

log = structlog.get_logger(__name__)

_AFTER = Query(ge=0, description="The last `seq` that you have. The events after it are sent.")
_INTERIM = Query(description="Whether to send interim text and its drafts as well.")
_LANGUAGE = Query(description="The only language of captions and drafts to send; all if omitted.")


async def _limit_streams(services: ServicesDep) -> AsyncGenerator[None]:
    # FastAPI leaves a dependency only after the response has ended, even if that failed.
    with services.stream_limit.acquire():
        yield


# Not `response_class`: once a meeting is complete the route answers 204, or browsers would reconnect forever.
@router.get(
    "",
    response_model=None,
    responses={200: {"content": {"text/event-stream": {}}}, 204: {}} | problem_responses(404),
    dependencies=[Depends(_limit_streams)],
)
async def stream_server_sent_events(
    meeting_id: UUID,
    services: ServicesDep,
    after: Annotated[int | None, _AFTER] = None,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
    interim: Annotated[bool, _INTERIM] = True,
    language: Annotated[Language | None, _LANGUAGE] = None,
) -> Response:
    """Follow a meeting as server-sent events: `event` is the kind, `id` the `seq`, `data` the payload.

    docs/live-events.md describes the payload of each kind. Interim text is an event of the kind `interim` without an `id`. It has
    the words that are in no sentence yet, and their translation so far. Each one replaces the speaker's last one; an empty text
    removes it.

    `Last-Event-ID`, which browsers send when they reconnect, overrides `after`. 204 means that the meeting is over and you have
    all events. 503 means that the server's limit of live streams is reached: `Retry-After` says when to try again.
    """
    if last_event_id is not None:
        after = last_event_id
    subscription = LiveSubscription(DEFAULT_TEAM_ID, meeting_id, after or 0, interim, language)
    progress = await _check_position(services, subscription)
    if progress.is_complete and subscription.after_seq == progress.seq and after is not None:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_stream_sse(services, subscription), headers=headers)


@router.websocket("")
async def web_socket(
    socket: WebSocket,
    meeting_id: UUID,
    services: ServicesDep,
    after: Annotated[int, _AFTER] = 0,
    interim: Annotated[bool, _INTERIM] = True,
    language: Annotated[Language | None, _LANGUAGE] = None,
) -> None:
    """Follow a meeting over a WebSocket: each message is `{"kind", "seq"?, "payload"}`. The events are those of the SSE route.

    It closes with 1000 once the meeting is over and you have all events. 4404 means that there is no such meeting, 4422 that the
    address or `after` is invalid. 1013 means that the limit of live streams is reached, or that a store is unavailable: try again
    later. Messages that you send are ignored.
    """
    await socket.accept()
    subscription = LiveSubscription(DEFAULT_TEAM_ID, meeting_id, after, interim, language)
    try:
        with services.stream_limit.acquire():
            await _check_position(services, subscription)
            await _serve_socket(socket, services, subscription)
    except UnavailableError as error:
        await socket.close(1013, str(error))
    except NotFoundError as error:
        await socket.close(4404, str(error))
    except InvalidInputError as error:
        await socket.close(4422, str(error))


async def _serve_socket(socket: WebSocket, services: Services, subscription: LiveSubscription) -> None:
    sending = asyncio.create_task(_stream_to_socket(socket, services, subscription))
    disconnecting = asyncio.create_task(_wait_for_disconnect(socket))
    try:
        await asyncio.wait({sending, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_tasks([sending, disconnecting])


async def _check_position(services: Services, subscription: LiveSubscription) -> MeetingProgress:
    progress = await services.progress.read(subscription.team_id, subscription.meeting_id)
    if subscription.after_seq > progress.seq:
        raise InvalidInputError("after", f"must be a seq of this meeting, of which the last is {progress.seq}")
    return progress


async def _stream_sse(services: Services, subscription: LiveSubscription) -> AsyncGenerator[bytes]:
    async with aclosing(stream_events(services, subscription)) as events:
        async for event in events:
            if event.kind == HEARTBEAT_KIND:
                yield format_sse_event(comment=HEARTBEAT_KIND)
            else:
                seq = None if event.seq is None else str(event.seq)
                yield format_sse_event(event=event.kind, id=seq, data_str=orjson.dumps(event.payload).decode())
                record_push(services, subscription.meeting_id, event)


async def _stream_to_socket(socket: WebSocket, services: Services, subscription: LiveSubscription) -> None:
    code = 1000
    try:
        async with aclosing(stream_events(services, subscription)) as events:
            async for event in events:
                await socket.send_text(_encode_event(event))
                record_push(services, subscription.meeting_id, event)
    except WebSocketDisconnect:
        return
    except Exception as error:  # noqa: BLE001 - after any error the client must reconnect for the remaining events
        log.warning("a live stream was interrupted", error=type(error).__name__)
        code = 1013
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)


def _encode_event(event: LiveEvent) -> str:
    message = {"kind": event.kind, "seq": event.seq, "payload": event.payload}
    if event.seq is None:
        del message["seq"]
    return orjson.dumps(message).decode()


async def _wait_for_disconnect(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
