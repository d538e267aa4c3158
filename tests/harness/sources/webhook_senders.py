"""Stand-ins for the services that send webhooks, Recall.ai and Attendee, and a gateway with faults before Parley.

A service signs each request, and sends it again with the same id until its answer is 2xx.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import httpx
from aiohttp import web
from standardwebhooks.webhooks import Webhook

Fault = Literal["refused", "limited", "answer lost", "connection lost"]
"""`refused` and `limited` answer 503 and 429 without a delivery. The others deliver, but the service gets no 2xx."""
MAX_ATTEMPT_COUNT = 10


class FaultyGateway:
    """A reverse proxy before Parley, on a loopback port.

    Args:
        http: a client with Parley's address as its base.
        faults: the faults of the next requests; None for a request without a fault. Further requests have none.

    Attributes:
        request_count: number of requests so far.
    """

    def __init__(self, http: httpx.AsyncClient, faults: Iterable[Fault | None] = ()) -> None:
        self._http = http
        self._faults = deque(faults)
        self._runner: web.AppRunner | None = None
        self.request_count = 0
        self.url = ""

    async def __aenter__(self) -> FaultyGateway:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._forward)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _forward(self, request: web.Request) -> web.Response:
        self.request_count += 1
        fault = self._faults.popleft() if self._faults else None
        if fault == "refused":
            return web.Response(status=503)
        if fault == "limited":
            return web.Response(status=429, headers={"retry-after": "0"})
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")
        }
        answer = await self._http.post(request.path_qs, content=await request.read(), headers=headers)
        if fault == "answer lost":
            return web.Response(status=502)
        if fault == "connection lost":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=answer.status_code, body=answer.content, content_type="application/json")


class WebhookSender:
    """A service that sends each message to a webhook, until it is accepted.

    Args:
        http: the client that sends.
        url: address of Parley or of a gateway.
        secret: the secret of the service's signatures.

    Attributes:
        source: the source's name in Parley.
        answers: the bodies of all answers that arrived.
    """

    source: ClassVar[str]

    def __init__(self, http: httpx.AsyncClient, url: str, secret: str) -> None:
        self._http = http
        self._url = f"{url}/api/sources/{self.source}/events"
        self._secret = secret
        self._delivery_count = 0
        self.answers: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any], *, times: int = 1) -> None:
        """Deliver a message.

        Args:
            message: the message.
            times: number of deliveries, as by a service that forgets that it was successful.
        """
        self._delivery_count += 1
        body, delivery_id = self.encode(message), f"msg_{self._delivery_count}"
        for _ in range(times):
            await self._deliver(body, delivery_id)

    async def send_all(self, messages: Iterable[dict[str, Any]], *, times: int = 1) -> None:
        """Deliver messages one after the other."""
        for message in messages:
            await self.send(message, times=times)

    async def _deliver(self, body: bytes, delivery_id: str) -> None:
        for _ in range(MAX_ATTEMPT_COUNT):
            headers = {"content-type": "application/json", **self.sign(body, delivery_id)}
            try:
                answer = await self._http.post(self._url, content=body, headers=headers)
            except httpx.TransportError:
                continue
            if answer.status_code != 429 and answer.status_code < 500:
                assert answer.status_code == 200, answer.text
                self.answers.append(answer.json())
                return
        raise AssertionError(f"no answer 2xx after {MAX_ATTEMPT_COUNT} attempts")

    def encode(self, message: dict[str, Any]) -> bytes:
        """Encode a message as the service does."""
        return json.dumps(message).encode()

    def sign(self, body: bytes, delivery_id: str) -> dict[str, str]:
        """Return the headers with the signature and the id of a delivery."""
        raise NotImplementedError


class RecallSender(WebhookSender):
    """Recall.ai: it signs by Standard Webhooks, anew at each attempt."""

    source = "recall"

    def sign(self, body: bytes, delivery_id: str) -> dict[str, str]:
        """Return the headers of Standard Webhooks."""
        now = datetime.now(UTC)
        return {
            "webhook-id": delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self._secret).sign(delivery_id, now, body.decode()),
        }


class AttendeeSender(WebhookSender):
    """Attendee: it signs the canonical JSON, and sends another form. The body has the id of the delivery."""

    source = "attendee"

    def encode(self, message: dict[str, Any]) -> bytes:
        """Encode a message in a form that isn't the canonical one."""
        return json.dumps(message, indent=1).encode()

    def sign(self, body: bytes, delivery_id: str) -> dict[str, str]:
        """Return the header with the signature."""
        canonical = json.dumps(json.loads(body), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        digest = hmac.new(base64.b64decode(self._secret), canonical, hashlib.sha256).digest()
        return {"x-webhook-signature": base64.b64encode(digest).decode()}


SENDERS: dict[str, type[WebhookSender]] = {"recall": RecallSender, "attendee": AttendeeSender}
"""The stand-ins by the source's name."""


def shuffle_nearby(messages: Sequence[dict[str, Any]], distance: int, seed: int) -> list[dict[str, Any]]:
    """Change the order of messages, each by less than `distance` places. The first one stays.

    A service that delivers again after a failure sends the next messages meanwhile.
    """
    draw = random.Random(seed)
    places = [(place + (draw.uniform(0, distance) if place else 0.0), place) for place in range(len(messages))]
    return [messages[place] for _, place in sorted(places)]
