"""Check of each API response against the API's OpenAPI description."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class OpenApiConformance:
    """ASGI middleware that records each response whose status or media type the description lacks.

    Args:
        app: the application, which provides the description.

    Attributes:
        undocumented: method, path, status and media type of each such response.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app: ASGIApp = app
        self._routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
        self._paths: dict[str, Any] = app.openapi()["paths"]
        self.undocumented: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and check its response."""
        route = next((candidate for candidate in self._routes if candidate.matches(scope)[0] is Match.FULL), None)

        async def check_and_send(message: Message) -> None:
            if route is not None and message["type"] == "http.response.start":
                self._check_response(scope["method"], route.path, message["status"], Headers(raw=message["headers"]))
            await send(message)

        await self._app(scope, receive, check_and_send)

    def _check_response(self, method: str, path: str, status: int, headers: Headers) -> None:
        documented = self._paths[path][method.lower()]["responses"].get(str(status))
        media = headers.get("content-type", "").partition(";")[0]
        if documented is None or media not in documented.get("content", {"": None}):
            self.undocumented.add(f"{method} {path}: {status} {media}")
