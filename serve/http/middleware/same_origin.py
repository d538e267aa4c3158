"""Keeps other web pages out: a browser that can reach this server lends its reach to every page that is open in it."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.http.problems import problem_response

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SameOriginMiddleware:
    """ASGI middleware that refuses what a page of another site sends through its reader's browser.

    A page elsewhere can open WebSockets and post forms here; browsers name it as the `Origin`. It can also have its own
    name resolve to this machine (DNS rebinding) and then count as same-origin; but then `Host` bears that name. Clients
    that are no browsers send no `Origin` and are not concerned.

    Args:
        app: what to protect.
        hosts: names by which this server may be called, beside those of the machine itself; on any port.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {*_LOOPBACK_HOSTS, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it may come in."""
        reason = None if scope["type"] == "lifespan" else self._refusal_reason(scope)
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted, this is an answer 403.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            await problem_response("forbidden", 403, reason)(scope, receive, send)

    def _refusal_reason(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if _host_name(host) not in self._hosts:
            return "this server is not known by that name; a reverse proxy's has to be named in `hosts`"
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in _SAFE_METHODS):
            return None
        if _origin_host(origin) != host:
            return "a page of another site may not do this"
        return None


def _host_name(host: str) -> str:
    """A `Host` without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _origin_host(origin: str) -> str:
    """Host and port of an `Origin`; empty for `null`, which is what a page without one of its own sends."""
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return ""
