"""The WebSocket of older caption clients: captions come on the screen, change, and leave it.

The server's messages have an `event`: `connected`, `caption_added`, `caption_updated`, `caption_expired`, `interim_caption`,
`captions`, `language_updated`, `session_cleared`, `pipeline_paused`, `pipeline_resumed`, `ping`, `pong` and `error`. A client
may send `ping`, `pong`, `set_language` and `get_captions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import aclosing
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from langcodes import tag_is_valid
from pydantic_core import from_json

from operators.caption_display import DisplayChange
from operators.errors import NotFoundError, UnavailableError
from operators.fields import Language
from serve.http.captions.screen import Screen, choose_language, find_meeting, read_cleared_at, read_screen, to_view
from serve.http.dependencies.live_fanout import LiveEvent
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.live.subscription import LiveSubscription, stream_events
from storage.cancellation import cancel_tasks
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/captions", tags=["captions of older clients"])

PROTOCOL_VERSION = 1
PING_S = 30.0
"""Seconds without a message to the client after which it gets a ping."""
CLEARED_POLL_S = 1.0
"""Seconds between two checks whether the screens were cleared, while there are captions on them."""
MAX_MESSAGE_CHARS = 10_000
"""Maximum length of a client's message, in characters."""
MAX_QUEUED = 500
"""Most live events and messages that wait for the client's screen."""
_PAUSES = {"paused": "pipeline_paused", "live": "pipeline_resumed"}
log = structlog.get_logger(__name__)


@router.websocket("/stream/{session_id}")
async def stream_captions(
    socket: WebSocket,
    session_id: UUID,
    services: ServicesDep,
    target_language: Annotated[Language | None, Query()] = None,
) -> None:
    """Follow the captions on the screen. `session_id` is the id of a meeting, or of a connector's session.

    It closes with 1000 once the meeting is over and the screen is empty. 4404 means that there is no such session. 1013 means
    that the limit of live streams is reached, or that a store is unavailable: try again later.
    """
    await socket.accept()
    code, reason = 1000, ""
    try:
        with services.stream_limit.acquire():
            async with services.database.connect() as conn:
                meeting = await find_meeting(conn, session_id)
            language = choose_language(meeting, target_language)
            screen = await read_screen(services, meeting.id, language)
            await _CaptionStream(socket, services, session_id, meeting.id, screen).run()
    except WebSocketDisconnect:
        return
    except NotFoundError as error:
        code, reason = 4404, str(error)
    except UnavailableError as error:
        code, reason = 1013, str(error)
    except Exception as error:  # noqa: BLE001 - after any error the client must connect again
        log.warning("a caption stream was interrupted", error=type(error).__name__)
        code = 1013
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code, reason)


class _CaptionStream:
    """The stream of one client."""

    def __init__(
        self, socket: WebSocket, services: Services, session_id: UUID, meeting_id: UUID, screen: Screen
    ) -> None:
        self._socket, self._services = socket, services
        self._session_id, self._meeting_id = session_id, meeting_id
        self._display, self._seq = screen.display, screen.seq
        self._inputs = asyncio.Queue[LiveEvent | str | None](MAX_QUEUED)
        self._sent_at = self._cleared_checked_at = time.monotonic()
        self._cleared_at = time.time()

    async def run(self) -> None:
        """Serve the client until it leaves, or the meeting is over."""
        await self._send(
            "connected", session_id=str(self._session_id), protocol_version=PROTOCOL_VERSION, **self._state()
        )
        tasks = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_messages())]
        try:
            is_over = False
            while not (is_over and not self._display.captions):
                item = await self._next_input()
                await self._send_changes(self._display.expire(time.monotonic()))
                if isinstance(item, LiveEvent):
                    await self._on_event(item)
                elif isinstance(item, str):
                    await self._on_message(item)
                elif tasks[1].done():
                    raise WebSocketDisconnect(1000)
                elif tasks[0].done():
                    tasks[0].result()
                    is_over = self._inputs.empty()
                await self._check_time()
        finally:
            await cancel_tasks(tasks)

    async def _read_events(self) -> None:
        subscription = LiveSubscription(DEFAULT_TEAM_ID, self._meeting_id, self._seq)
        try:
            async with aclosing(stream_events(self._services, subscription)) as events:
                async for event in events:
                    await self._inputs.put(event)
        finally:
            # The main loop must not wait for nothing.
            with contextlib.suppress(asyncio.QueueFull):
                self._inputs.put_nowait(None)

    async def _read_messages(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._inputs.put(await self._socket.receive_text())
        with contextlib.suppress(asyncio.QueueFull):
            self._inputs.put_nowait(None)

    async def _next_input(self) -> LiveEvent | str | None:
        """Wait for an event or a message, or until something is to be done. Then the result is None."""
        now = time.monotonic()
        due = [self._sent_at + PING_S]
        if (expiry := self._display.next_expiry) is not None:
            due += [expiry, self._cleared_checked_at + CLEARED_POLL_S]
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._inputs.get(), max(0.0, min(due) - now))
        return None

    async def _on_event(self, event: LiveEvent) -> None:
        if event.kind == "interim":
            await self._send(
                "interim_caption",
                speaker_name=event.payload["speaker"],
                text=event.payload["text"],
                translated_text=event.payload["drafts"].get(self._display.language),
            )
        elif event.kind == "status" and event.payload.get("status") in _PAUSES:
            await self._send(_PAUSES[event.payload["status"]])
        else:
            await self._send_changes(self._display.apply(event.kind, event.payload, time.monotonic()))

    async def _on_message(self, content: str) -> None:
        message = _parse(content)
        match message and (message.get("event") or message.get("type")):
            case "ping":
                await self._send("pong")
            case "pong":
                pass
            case "get_captions":
                await self._send("captions", **self._state())
            case "set_language":
                language = message.get("language") or message.get("target_language")
                if not isinstance(language, str) or not tag_is_valid(language):
                    await self._send("error", message="language: write a language tag, such as 'pt' or 'zh-Hant'")
                    return
                self._display = (await read_screen(self._services, self._meeting_id, language)).display
                await self._send("language_updated", **self._state())
            case _:
                await self._send("error", message="event: must be ping, pong, set_language or get_captions")

    async def _check_time(self) -> None:
        """Clear the screen if that was requested, and ping a client that got nothing for long."""
        now = time.monotonic()
        if self._display.captions and now - self._cleared_checked_at >= CLEARED_POLL_S:
            self._cleared_checked_at = now
            cleared_at = await read_cleared_at(self._services, self._meeting_id)
            if cleared_at > self._cleared_at:
                self._cleared_at = cleared_at
                self._display.clear()
                await self._send("session_cleared")
        if now - self._sent_at >= PING_S:
            await self._send("ping")

    async def _send_changes(self, changes: list[DisplayChange]) -> None:
        for change in changes:
            if change.kind == "expired":
                await self._send("caption_expired", caption_id=change.caption.id)
            else:
                caption = to_view(change.caption, self._display.language).model_dump()
                await self._send(f"caption_{change.kind}", caption=caption)

    def _state(self) -> dict[str, Any]:
        language = self._display.language
        captions = [to_view(caption, language).model_dump() for caption in self._display.captions]
        return {"current_captions": captions, "captions": captions, "target_language": language}

    async def _send(self, event: str, **members: Any) -> None:
        self._sent_at = time.monotonic()
        await self._socket.send_text(orjson.dumps({"event": event, **members}).decode())


def _parse(content: str) -> dict[str, Any]:
    """Parse a client's message; an empty one if it is no JSON object."""
    if len(content) > MAX_MESSAGE_CHARS:
        return {}
    try:
        message = from_json(content, allow_inf_nan=False)
    except ValueError:
        return {}
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {}
