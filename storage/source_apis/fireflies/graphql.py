"""GraphQL requests to Fireflies. Each request is counted against the budget of the account's plan before it is sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx

from operators.errors import (
    InvalidInputError,
    MalformedResponseError,
    MisconfiguredError,
    NotFoundError,
    UnavailableError,
    UnreachableError,
)
from storage.ingest.request_budget import RequestBudget, RequestPlan

DEFAULT_BASE_URL = "https://api.fireflies.ai"
PLANS = {
    plan.name: plan
    for plan in (
        RequestPlan("free", 50, 24 * 3600),
        RequestPlan("pro", 50, 24 * 3600),
        RequestPlan("business", 60, 60),
        RequestPlan("enterprise", 60, 60),
    )
}
"""The limits of Fireflies' plans."""
TIMEOUT_S = 30.0
"""Seconds that may pass without progress of a request."""
MAX_REQUEST_S = 180.0
"""Seconds that a request may take in all."""
MAX_RESPONSE_MIB = 64
"""Maximum size of a response: a transcript of a day. No more of it is read."""
DEFAULT_BLOCK_S = 60.0
"""Seconds without requests after a refusal that names no time."""

_RATE_LIMIT_CODES = ("too_many_requests", "rate_limit_exceeded")
_KEY_CODES = ("auth_failed", "unauthorized", "invalid_api_key", "forbidden", "unauthenticated")
_NOT_FOUND_CODES = ("object_not_found", "not_found", "invalid_transcript_id")


class GraphqlClient:
    """Sends requests to the GraphQL API of one account.

    Args:
        client: the HTTP client.
        base_url: address of the API.
        api_key: the account's key.
        budget: counts the requests.
    """

    def __init__(self, client: httpx.AsyncClient, base_url: str, api_key: str, budget: RequestBudget) -> None:
        self._client = client
        self._url = f"{base_url.rstrip('/')}/graphql"
        self._api_key = api_key
        self._budget = budget

    @property
    def budget(self) -> RequestBudget:
        """The account's budget of requests."""
        return self._budget

    async def request(
        self, query: str, variables: Mapping[str, Any], *, list_name: str | None = None
    ) -> Mapping[str, Any]:
        """Send a request.

        Args:
            query: the GraphQL query or mutation.
            variables: its variables.
            list_name: name of a list in the response. Errors about single items of it don't fail the request; these items may
                be null.

        Returns:
            The `data` of the response.

        Raises:
            OverloadedError: nothing is left of the budget. No request was sent.
            UnavailableError: Fireflies can't respond now, or refuses further requests; the error says how long to wait.
            MisconfiguredError: Fireflies refuses the key, or the address of the API is refused.
            NotFoundError: Fireflies doesn't have the requested object.
            InvalidInputError: Fireflies refuses this request.
            MalformedResponseError: the response can't be read, or is too large.
        """
        await self._budget.spend()
        try:
            async with (
                asyncio.timeout(MAX_REQUEST_S),
                self._client.stream(
                    "POST",
                    self._url,
                    json={"query": query, "variables": variables},
                    headers={"Authorization": f"Bearer {self._api_key}"},
                    timeout=TIMEOUT_S,
                    follow_redirects=False,
                ) as response,
            ):
                content = await _read_content(response)
        except httpx.ConnectError as error:
            raise UnreachableError(f"Fireflies' API can't be reached ({type(error).__name__})") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnavailableError(f"Fireflies' API did not respond ({type(error).__name__})") from None
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"the host of Fireflies' API can't be resolved ({type(error).__name__})") from None
        return await self._read_response(response, content, list_name)

    async def _read_response(
        self, response: httpx.Response, content: bytes | None, list_name: str | None
    ) -> Mapping[str, Any]:
        body = _parse_json(content)
        errors = cast("list[Any]", body.get("errors")) if isinstance(body, dict) and body.get("errors") else []
        code, message = _describe_error(errors)
        if response.status_code == 429 or code in _RATE_LIMIT_CODES or "too many requests" in message.casefold():
            seconds = _retry_after_s(response, errors)
            await self._budget.block(seconds)
            raise UnavailableError("Fireflies refuses further requests for now (too many requests)", seconds)
        if response.status_code == 200 and list_name is not None and _concern_items(errors, list_name):
            errors, code = [], ""
        if response.status_code in (401, 403) or code in _KEY_CODES:
            raise MisconfiguredError("Fireflies refuses the API key: check it at app.fireflies.ai, Integrations")
        if response.status_code == 404 or code in _NOT_FOUND_CODES:
            raise NotFoundError("Fireflies does not have what was requested")
        if response.status_code >= 500:
            raise UnavailableError(f"Fireflies' API answers with status {response.status_code}")
        if errors:
            raise InvalidInputError("query", f"Fireflies refuses it: {code or 'no code given'}")
        if content is None:
            raise MalformedResponseError(f"Fireflies' API answers with more than {MAX_RESPONSE_MIB} MiB")
        if response.status_code != 200 or not isinstance(body, dict):
            raise MalformedResponseError(
                f"Fireflies' API answers with status {response.status_code} and no JSON object"
            )
        data = cast("dict[str, Any]", body).get("data")
        if not isinstance(data, dict):
            raise MalformedResponseError("Fireflies' API answers without data")
        return cast("dict[str, Any]", data)


async def _read_content(response: httpx.Response) -> bytes | None:
    """Return the body of a response; None if it is too large."""
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > MAX_RESPONSE_MIB * 2**20:
            return None
    return bytes(content)


def _parse_json(content: bytes | None) -> Any:
    """Return the decoded content; None if it isn't JSON."""
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None


def _concern_items(errors: list[Any], list_name: str) -> bool:
    """Return whether each error concerns a single item of a list."""
    for error in errors:
        path = cast("dict[str, Any]", error).get("path") if isinstance(error, dict) else None
        if not (isinstance(path, list) and len(cast("list[Any]", path)) > 1 and path[0] == list_name):
            return False
    return True


def _describe_error(errors: list[Any]) -> tuple[str, str]:
    """Return the code and the message of a response's first error."""
    first = cast("dict[str, Any]", errors[0]) if errors and isinstance(errors[0], dict) else {}
    extensions = first.get("extensions")
    nested = cast("dict[str, Any]", extensions).get("code") if isinstance(extensions, dict) else None
    return str(first.get("code") or nested or "").casefold(), str(first.get("message") or "")


def _retry_after_s(response: httpx.Response, errors: list[Any]) -> float:
    """Return the seconds that a refusal names, at least one. It names them in its header or in its first error."""
    header = response.headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdigit() and len(header) < 9:
        return max(1.0, float(header))
    until_s: float | None = None
    if header:
        with suppress(ValueError):
            until_s = parsedate_to_datetime(header).timestamp()
    else:
        until_s = _retry_after_ms(errors) / 1000
    return max(1.0, until_s - time.time()) if until_s else DEFAULT_BLOCK_S


def _retry_after_ms(errors: list[Any]) -> float:
    """Return the time (ms since the Unix epoch) in `extensions.metadata.retryAfter` of the first error, or 0."""
    value: Any = errors[0] if errors else None
    for name in ("extensions", "metadata", "retryAfter"):
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0
