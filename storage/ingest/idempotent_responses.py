"""The responses to requests with an idempotency key, in Redis: a repeated request gets the response to the first one."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import cast

import orjson
import redis.asyncio

from operators.errors import UnavailableError
from storage import redis_keys

RETENTION_S = 24 * 3600
"""Seconds for which a response is kept."""
CLAIM_TIMEOUT_S = 180
"""Seconds after which the claim of a process that died expires. A route answers within two minutes."""
POLL_S = 0.1
"""Seconds between two checks whether the first request has its response."""
_CLAIMED = "claimed"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to a request.

    Attributes:
        digest: a digest of the request's body.
        status: the HTTP status.
        media_type: the `Content-Type`; empty without a body.
        body: the response's body.
    """

    digest: str
    status: int
    media_type: str
    body: bytes


class IdempotentResponses:
    """The responses by key.

    Args:
        client: a client that decodes its responses.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    async def claim(self, key: str) -> StoredResponse | None:
        """Claim a key for a request. While another request has the claim, wait for its response.

        Args:
            key: names team, method, path and the client's own key.

        Returns:
            The response to the first request, or None if this request is the first one.

        Raises:
            UnavailableError: the first request takes too long.
        """
        name = redis_keys.idempotent_response(key)
        deadline = asyncio.get_running_loop().time() + CLAIM_TIMEOUT_S
        while not await self._redis.set(name, _CLAIMED, nx=True, ex=CLAIM_TIMEOUT_S):
            stored = cast("str | None", await self._redis.get(name))
            if stored is not None and stored != _CLAIMED:
                return _parse(stored)
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError("the first request with this Idempotency-Key has no answer yet; try again")
            await asyncio.sleep(POLL_S)
        return None

    async def store(self, key: str, response: StoredResponse) -> None:
        """Store the response to a request that has the claim."""
        fields = [response.digest, response.status, response.media_type, base64.b64encode(response.body).decode()]
        await self._redis.set(redis_keys.idempotent_response(key), orjson.dumps(fields), ex=RETENTION_S)

    async def release(self, key: str) -> None:
        """Release a claim without a response: a repeated request is processed again."""
        await self._redis.delete(redis_keys.idempotent_response(key))


def _parse(stored: str) -> StoredResponse:
    digest, status, media_type, body = orjson.loads(stored)
    return StoredResponse(digest, status, media_type, base64.b64decode(body))
