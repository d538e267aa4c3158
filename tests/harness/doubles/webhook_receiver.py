"""A receiver of webhooks on a loopback port, which answers as scripted and checks each signature."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Reply:
    """A scripted answer.

    Attributes:
        status: the HTTP status; None to close the connection without an answer.
        headers: its headers.
        body: its body.
        hold: whether the answer waits until the receiver is released.
        endless: whether the body ends only when the receiver is released.
    """

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    hold: bool = False
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A request that arrived.

    Attributes:
        accepted: whether its answer is a 2xx status.
    """

    path: str
    event_id: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    accepted: bool


class WebhookReceiver:
    """Receives webhooks. Each path is an endpoint of its own, with its own script.

    Attributes:
        received: all requests, in the order of their arrival.
        secrets: the secrets of each path; a request must be signed with each of them.
        scripts: the next answers of each path; after them it accepts everything.
        choose: chooses the answer if there is no script.
        bad_signatures: ids of events with a wrong signature.
        released: set to let held answers go.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.secrets: dict[str, list[str]] = defaultdict(list)
        self.scripts: dict[str, deque[Reply]] = defaultdict(deque)
        self.choose: Callable[[], Reply] = Reply
        self.bad_signatures: list[str] = []
        self.released = asyncio.Event()
        self.port = 0
        self._arrival = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self, ssl_context: ssl.SSLContext | None = None) -> None:
        """Listen; after a stop, on the same port again."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        # With a timeout of zero, aiohttp would wait for held answers without a limit.
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=ssl_context, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop at once, as a killed server does: requests in flight get no answer."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def url(self, path: str = "hook") -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def at(self, path: str = "hook") -> list[Received]:
        """The requests to a path."""
        return [each for each in self.received if each.path == path]

    def accepted_ids(self, path: str = "hook") -> list[str]:
        """The ids of accepted events of a path in the order of their first acceptance, as a receiver counts them."""
        return list(dict.fromkeys(each.event_id for each in self.at(path) if each.accepted))

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is checked at each arrival."""
        async with self._arrival:
            await self._arrival.wait_for(condition)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        text = await request.text()
        script = self.scripts[path]
        reply = script.popleft() if script else self.choose()
        headers = {name.lower(): value for name, value in request.headers.items()}
        event_id = headers["webhook-id"]
        if not all(is_signed(secret, headers, text) for secret in self.secrets[path]):
            self.bad_signatures.append(event_id)
        accepted = reply.status is not None and 200 <= reply.status < 300
        async with self._arrival:
            self.received.append(Received(path, event_id, headers, json.loads(text), accepted))
            self._arrival.notify_all()
        if reply.hold:
            await self.released.wait()
        if reply.status is None:
            assert request.transport is not None
            request.transport.close()
        if reply.endless:
            response = web.StreamResponse(status=reply.status or 500)
            await response.prepare(request)
            await response.write(b"x")
            await self.released.wait()
            return response
        return web.Response(status=reply.status or 500, headers=dict(reply.headers), body=reply.body)


def is_signed(secret: str, headers: Mapping[str, str], text: str) -> bool:
    """Whether the published verifier accepts a request. It refuses old ones, so those are compared with its own signature."""
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    if abs((datetime.now(UTC) - at).total_seconds()) < 200:
        Webhook(secret).verify(text, dict(headers))
        return True
    return Webhook(secret).sign(headers["webhook-id"], at, text) in headers["webhook-signature"].split(" ")


@asynccontextmanager
async def running_receiver(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[WebhookReceiver]:
    """Run a receiver. No request with a wrong signature may have arrived at the end."""
    receiver = WebhookReceiver()
    await receiver.start(ssl_context)
    try:
        yield receiver
    finally:
        receiver.released.set()
        await receiver.stop()
    assert receiver.bad_signatures == []
