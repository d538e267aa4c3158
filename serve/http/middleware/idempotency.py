"""Makes writes safe to repeat: a request with the `Idempotency-Key` of an earlier one gets that one's response.

The header follows the IETF's draft "The Idempotency-Key HTTP Header Field".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import Response
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from operators.errors import UnavailableError
from serve.http.problems import RETRY_AFTER_S, FieldError, describe_unavailability, problem_response
from storage.ingest.idempotent_responses import IdempotentResponses, StoredResponse
from storage.records import DEFAULT_TEAM_ID

log = structlog.get_logger(__name__)

MAX_STORED_BYTES = 1 << 20
"""Most bytes of a response that is kept. A request with a larger one is processed again."""
REPLAYED_HEADER = "idempotency-replayed"
"""The header of a response to an earlier request."""
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_INVALID_DETAIL = "must have 1 to 255 visible ASCII characters"
_REUSED_DETAIL = "was used for another request; choose a new one"


class IdempotencyMiddleware:
    """ASGI middleware for writes with an `Idempotency-Key`.

    An answer is kept for a day, unless it is a server error or a stream of events. A request that comes before the first one
    has its answer waits for it.

    Args:
        app: the application. Its state has the services.
        prefix: the beginning of the paths that it concerns.
    """

    def __init__(self, app: ASGIApp, prefix: str = "/api/") -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it has no key, or is the first one with its key."""
        if (
            scope["type"] != "http"
            or scope["method"] not in _WRITES
            or not scope["path"].startswith(self._prefix)
            or (key := Headers(scope=scope).get("idempotency-key")) is None
        ):
            await self._app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            await _invalid_key(_INVALID_DETAIL)(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        name = f"{DEFAULT_TEAM_ID}:{scope['method']}:{quote(scope['path'])}?{query}:{key}"
        responses = IdempotentResponses(scope["app"].state.services.redis)
        try:
            stored = await responses.claim(name)
        except (RedisError, UnavailableError) as error:
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            detail = describe_unavailability(error)
            await problem_response("unavailable", 503, detail, headers=headers)(scope, receive, send)
            return
        if stored is None:
            await self._process(scope, receive, send, responses, name)
        else:
            await (await _replay(stored, receive))(scope, receive, send)

    async def _process(
        self, scope: Scope, receive: Receive, send: Send, responses: IdempotentResponses, name: str
    ) -> None:
        """Pass the request on, and keep its answer."""
        exchange = _Exchange()

        async def receive_digested() -> Message:
            message = await receive()
            exchange.add_request(message)
            return message

        async def send_kept(message: Message) -> None:
            exchange.add_response(message)
            if exchange.is_answered:
                # Kept before the client has it: a client that loses the end of the answer repeats the request.
                await self._keep(exchange, receive, responses, name)
            await send(message)

        try:
            await self._app(scope, receive_digested, send_kept)
        finally:
            if not exchange.is_kept:
                await _release(responses, name)

    async def _keep(self, exchange: _Exchange, receive: Receive, responses: IdempotentResponses, name: str) -> None:
        response = exchange.storable_response()
        if response is None:
            return
        # A route may answer before it has read the body.
        while not exchange.is_read:
            exchange.add_request(await receive())
        if not exchange.is_complete:
            return
        try:
            await responses.store(name, StoredResponse(exchange.digest, *response))
        except RedisError as error:
            # The claim expires, and then a repeated request is processed again.
            log.warning("response not kept", error=type(error).__name__)
        exchange.is_kept = True


@dataclass
class _Exchange:
    """A request and its response, as far as they have passed."""

    status: int = 0
    media_type: str = ""
    is_read: bool = False
    is_complete: bool = False
    is_answered: bool = False
    is_kept: bool = False
    _hash: Any = field(default_factory=hashlib.sha256)
    _body: bytearray = field(default_factory=bytearray)
    _is_too_large: bool = False

    def add_request(self, message: Message) -> None:
        self._hash.update(message.get("body", b""))
        # A client that disconnects has sent a part of the body only.
        self.is_complete = message["type"] == "http.request" and not message.get("more_body", False)
        self.is_read = self.is_complete or message["type"] != "http.request"

    def add_response(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.media_type = Headers(raw=message["headers"]).get("content-type", "")
        elif message["type"] == "http.response.body":
            self._is_too_large |= len(self._body) + len(message.get("body", b"")) > MAX_STORED_BYTES
            if not self._is_too_large:
                self._body += message.get("body", b"")
            self.is_answered = not message.get("more_body", False)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def storable_response(self) -> tuple[int, str, bytes] | None:
        """Return status, media type and body; None if the request may be processed again."""
        is_passing = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status == HTTPStatus.TOO_MANY_REQUESTS
        if is_passing or self._is_too_large or self.media_type.startswith("text/event-stream"):
            return None
        return self.status, self.media_type, bytes(self._body)


async def _release(responses: IdempotentResponses, name: str) -> None:
    try:
        await responses.release(name)
    except RedisError as error:
        log.warning("claim not released", error=type(error).__name__)


async def _replay(stored: StoredResponse, receive: Receive) -> Response:
    """Return the stored response, or a problem if this request differs from the first one."""
    exchange = _Exchange()
    try:
        while not exchange.is_read:
            exchange.add_request(await receive())
    except HTTPException as error:
        return problem_response("too-large", error.status_code, error.detail)
    if exchange.digest != stored.digest:
        return _invalid_key(_REUSED_DETAIL)
    headers = {REPLAYED_HEADER: "true"} | ({"content-type": stored.media_type} if stored.media_type else {})
    return Response(stored.body, stored.status, headers)


def _invalid_key(detail: str) -> Response:
    errors = [FieldError("Idempotency-Key", detail)]
    return problem_response("invalid", 422, "Idempotency-Key is invalid", errors=errors)
