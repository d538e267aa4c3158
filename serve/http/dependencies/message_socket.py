"""Serves a WebSocket on which a client sends messages and gets an answer to each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from fastapi import WebSocket, WebSocketDisconnect
from pydantic_core import from_json

from operators.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    UnauthenticatedError,
    UnavailableError,
)
from serve.http.dependencies.services import Services
from serve.http.problems import MAX_CLOSE_REASON_BYTES

MAX_MESSAGE_BYTES = 1_000_000
"""The most bytes of a message."""
log = structlog.get_logger(__name__)


class MessageError(Exception):
    """A message that can't be read.

    Args:
        reason: `invalid` or `too_large`.
        fix: what the client can do about it.
    """

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason
        self.fix = fix


async def serve_messages(
    socket: WebSocket,
    services: Services,
    prepare: Callable[[], Awaitable[None]],
    answer: Callable[[Any], Awaitable[Any]],
    refuse: Callable[[MessageError], Awaitable[Any]],
) -> None:
    """Accept a WebSocket, and answer its messages one after the other until the client leaves.

    The next message is read only after the last one's answer. So the connection slows down a client that is too fast. While
    the meeting's lane lags too far, the message waits.

    Args:
        socket: the socket, not accepted yet.
        services: the services. The socket counts as a live stream.
        prepare: checks the request before the first message.
        answer: takes a decoded message, and returns its answer.
        refuse: returns the answer to a message that can't be read, and counts it.
    """
    await socket.accept()
    code, reason = 1000, ""
    try:
        with services.stream_limit.acquire():
            await prepare()
            while True:
                response = await _answer_next(await socket.receive(), answer, refuse)
                await socket.send_text(orjson.dumps(response).decode())
    except WebSocketDisconnect:
        return
    except UnauthenticatedError as error:
        code, reason = 4401, str(error)
    except NotFoundError as error:
        code, reason = 4404, str(error)
    except InvalidInputError as error:
        code, reason = 4422, str(error)
    except (OverloadedError, UnavailableError) as error:
        code, reason = 1013, str(error)
    except Exception as error:  # noqa: BLE001 - after any error the client must connect again
        log.warning("a stream of messages was interrupted", error=type(error).__name__)
        code, reason = 1013, "an unexpected error occurred; connect again, and send the last message again"
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code, reason.encode()[:MAX_CLOSE_REASON_BYTES].decode(errors="ignore"))


async def _answer_next(
    received: Any, answer: Callable[[Any], Awaitable[Any]], refuse: Callable[[MessageError], Awaitable[Any]]
) -> Any:
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1000))
    try:
        message = _decode(received.get("text") or received.get("bytes") or "")
    except MessageError as error:
        return await refuse(error)
    while True:
        try:
            return await answer(message)
        except OverloadedError as error:
            if error.reason != "lag":
                raise
            await asyncio.sleep(min(error.retry_after_s, 1))


def _decode(content: str | bytes) -> Any:
    size = len(content) if isinstance(content, bytes) else len(content.encode("utf-8", "replace"))
    if size > MAX_MESSAGE_BYTES:
        raise MessageError("too_large", f"must have no more than {MAX_MESSAGE_BYTES} bytes; send it in parts")
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError:
        raise MessageError("invalid", "must be JSON") from None
