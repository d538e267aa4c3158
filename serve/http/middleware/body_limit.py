"""Rejects request bodies that are too large, before they are read completely."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.http.problems import problem_response


class BodyLimitMiddleware:
    """ASGI middleware that answers 413 for a body beyond a limit, with or without a `Content-Length`.

    Args:
        app: the application to protect.
        max_bytes: the most bytes that a body may have.
        max_bytes_by_path: the same for paths with a limit of their own.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_bytes_by_path: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_bytes_by_path = max_bytes_by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its body is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._max_bytes_by_path.get(scope["path"], self._max_bytes)
        detail = f"the body must not have more than {max_bytes} bytes; send it in parts"
        content_length = Headers(scope=scope).get("content-length", "")
        if content_length.isdigit() and int(content_length) > max_bytes:
            await problem_response("too-large", 413, detail)(scope, receive, send)
            return
        received_bytes = 0

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > max_bytes:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, receive_counted, send)
