"""Live events of a meeting, over WebSocket and as server-sent events: the same events on the same path."""

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

from operators.errors import Invalid, Unavailable, Unknown
from operators.model import Language
from serve.http.follower import HEARTBEAT, Wish, follow
from serve.http.hub import Live
from serve.http.problems import described
from serve.http.progress import Progress
from serve.http.pushes import handed
from serve.http.services import Services, Use
from storage.records import DEFAULT_TEAM

router = APIRouter(prefix="/api/meetings/{meeting_id}/events", tags=["live events"])

_log = structlog.get_logger(__name__)

_AFTER = Query(ge=0, description="The last `seq` you have: the events after it are sent.")
_INTERIM = Query(description="Whether to send growing text and its drafts, too.")
_LANGUAGE = Query(description="The only language to send captions and drafts of.")


async def _counted(services: Use) -> AsyncGenerator[None]:
    # A dependency ends after the response, however that ended.
    with services.streams.counted():
        yield


# Not `response_class`: a stream that has nothing more to give answers 204, or browsers would reconnect for ever.
@router.get(
    "",
    response_model=None,
    responses={200: {"content": {"text/event-stream": {}}}, 204: {}} | described(404),
    dependencies=[Depends(_counted)],
)
async def server_sent_events(
    meeting_id: UUID,
    services: Use,
    after: Annotated[int | None, _AFTER] = None,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
    interim: Annotated[bool, _INTERIM] = True,
    language: Annotated[Language | None, _LANGUAGE] = None,
) -> Response:
    """Follow a meeting as server-sent events: `event` is the kind, `id` the `seq`, `data` the payload.

    Growing text has no `id`. It is an `interim`, `{"speaker", "speaker_id", "text", "start", "drafts": {language: text}}`:
    what somebody is saying and no sentence holds yet, and how that reads so far. Each takes the place of the speaker's last
    one; an empty text takes it away. `speaker_id` is null unless the source gives one.

    `Last-Event-ID`, which browsers send when they reconnect, goes before `after`. 204 says that the meeting is over and
    you have all of it. 503 says that the server has all the live streams that it serves: `Retry-After` says when to try again.
    """
    if last_event_id is not None:
        after = last_event_id
    wish = Wish(DEFAULT_TEAM, meeting_id, after or 0, interim, language)
    now = await _checked(services, wish)
    if now.complete and wish.after == now.seq and after is not None:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_sse(services, wish), headers=headers)


@router.websocket("")
async def web_socket(
    socket: WebSocket,
    meeting_id: UUID,
    services: Use,
    after: Annotated[int, _AFTER] = 0,
    interim: Annotated[bool, _INTERIM] = True,
    language: Annotated[Language | None, _LANGUAGE] = None,
) -> None:
    """Follow a meeting over a WebSocket: each message is `{"kind", "seq"?, "payload"}`, as among the server-sent events.

    It closes with 1000 once the meeting is over and you have all of it. 4404: there is no such meeting; 4422: the
    address or `after` is wrong; 1013: the server has all the live streams that it serves, or lost a store: try again later.
    What you send is not read.
    """
    await socket.accept()
    wish = Wish(DEFAULT_TEAM, meeting_id, after, interim, language)
    try:
        with services.streams.counted():
            await _checked(services, wish)
            await _serve(socket, services, wish)
    except Unavailable as error:
        await socket.close(1013, str(error))
    except Unknown as error:
        await socket.close(4404, str(error))
    except Invalid as error:
        await socket.close(4422, str(error))


async def _serve(socket: WebSocket, services: Services, wish: Wish) -> None:
    sending = asyncio.create_task(_send(socket, services, wish))
    leaving = asyncio.create_task(_until_left(socket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        sending.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _checked(services: Services, wish: Wish) -> Progress:
    now = await services.progress.read(wish.team_id, wish.meeting_id)
    if wish.after > now.seq:
        raise Invalid("after", f"must be a seq of this meeting, of which the last is {now.seq}")
    return now


async def _sse(services: Services, wish: Wish) -> AsyncGenerator[bytes]:
    async with aclosing(follow(services, wish)) as events:
        async for event in events:
            if event.kind == HEARTBEAT:
                yield format_sse_event(comment=HEARTBEAT)
            else:
                seq = None if event.seq is None else str(event.seq)
                yield format_sse_event(event=event.kind, id=seq, data_str=orjson.dumps(event.payload).decode())
                handed(services, wish.meeting_id, event)


async def _send(socket: WebSocket, services: Services, wish: Wish) -> None:
    code = 1000
    try:
        async with aclosing(follow(services, wish)) as events:
            async for event in events:
                await socket.send_text(_message(event))
                handed(services, wish.meeting_id, event)
    except WebSocketDisconnect:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is to come back for the rest
        _log.warning("live.interrupted", error=type(error).__name__)
        code = 1013
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code)


def _message(event: Live) -> str:
    message = {"kind": event.kind, "seq": event.seq, "payload": event.payload}
    if event.seq is None:
        del message["seq"]
    return orjson.dumps(message).decode()


async def _until_left(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
