"""Rejects cross-origin requests and unknown `Host` headers, so that a web page of another site can't use the API.

Otherwise a browser that reaches this server would send it the requests of every open page.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.http.problems import problem_response

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SameOriginMiddleware:
    """ASGI middleware that answers 403 to requests of other sites' pages.

    Such a page can open WebSockets and post forms to this server; the browser then names its site in the `Origin` header. The
    site can also have its own name resolve to this machine (DNS rebinding), and so count as same-origin; but then the `Host`
    header has that name. Clients other than browsers send no `Origin`.

    Args:
        app: the application to protect.
        hosts: host names of this server besides the loopback names, like a reverse proxy's; valid on any port.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {*_LOOPBACK_HOSTS, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its host and origin are allowed."""
        reason = None if scope["type"] == "lifespan" else self._refusal_reason(scope)
        if reason is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closing before the handshake is accepted sends a 403.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            await problem_response("forbidden", 403, reason)(scope, receive, send)

    def _refusal_reason(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if _host_name(host) not in self._hosts:
            return "the Host header is not a name of this server; add a reverse proxy's name to `hosts`"
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in _SAFE_METHODS):
            return None
        if _origin_host(origin) != host:
            return "pages of other sites may not send this request"
        return None


def is_loopback_host(host: str) -> bool:
    """Return whether a `Host` header has a loopback name. A reverse proxy may write one, too."""
    return _host_name(host.lower()) in _LOOPBACK_HOSTS


def _host_name(host: str) -> str:
    """Return a `Host` header without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _origin_host(origin: str) -> str:
    """Return host and port of an `Origin` header; "" for `null`, which a page without an origin sends."""
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return ""
