"""GraphQL requests to Fireflies. Each request is counted against the budget of the account's plan before it is sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx

from operators.errors import MalformedResponseError, UnavailableError, UnreachableError
from storage.ingest.request_budget import RequestBudget, RequestPlan
from storage.source_apis.fireflies.response_errors import ResponseError, parse_errors, to_parley_error

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
        self,
        query: str,
        variables: Mapping[str, Any],
        *,
        subject: str = "query",
        is_tolerable: Callable[[ResponseError], bool] = lambda error: False,
    ) -> Mapping[str, Any]:
        """Send a request.

        Args:
            query: the GraphQL query or mutation.
            variables: its variables.
            subject: the field of Parley's request that an error concerns if it names none.
            is_tolerable: whether an error concerns a part only that may be missing. It does not fail the request; that part
                of the response is null.

        Returns:
            The `data` of the response.

        Raises:
            OverloadedError: nothing is left of the budget. No request was sent.
            UnavailableError: Fireflies can't respond now, or refuses further requests; the error says how long to wait.
            MisconfiguredError: Fireflies refuses the key or its account, or the address of the API is refused.
            NotFoundError: Fireflies doesn't have the requested object.
            PlanLimitError: the account's plan does not include what was requested.
            InvalidInputError: Fireflies refuses this request, or this account may not read the requested object.
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
        return await self._read_response(response, content, subject, is_tolerable)

    async def _read_response(
        self,
        response: httpx.Response,
        content: bytes | None,
        subject: str,
        is_tolerable: Callable[[ResponseError], bool],
    ) -> Mapping[str, Any]:
        body = _parse_json(content)
        errors = parse_errors(body)
        if response.status_code == 429 or any(error.is_limit for error in errors):
            seconds = _retry_after_s(response, errors)
            await self._budget.block(seconds)
            raise UnavailableError("Fireflies refuses further requests for now (too many requests)", seconds)
        data = cast("dict[str, Any]", body).get("data") if isinstance(body, dict) else None
        fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        if response.status_code == 200:
            # The part that an error concerns is null. If what contains it is null as well, the error is about all of it.
            errors = [
                error
                for error in errors
                if not (error.path and fields.get(error.path[0]) is not None and is_tolerable(error))
            ]
        refusal = to_parley_error(response.status_code, errors[0] if errors else None, subject)
        if refusal is not None:
            raise refusal
        if content is None:
            raise MalformedResponseError(f"Fireflies' API answers with more than {MAX_RESPONSE_MIB} MiB")
        if response.status_code != 200 or not isinstance(body, dict):
            raise MalformedResponseError(
                f"Fireflies' API answers with status {response.status_code} and no JSON object"
            )
        if not isinstance(data, dict):
            raise MalformedResponseError("Fireflies' API answers without data")
        return fields


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


def _retry_after_s(response: httpx.Response, errors: list[ResponseError]) -> float:
    """Return the seconds that a refusal names, at least one. It names them in its header or in its error."""
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


def _retry_after_ms(errors: list[ResponseError]) -> float:
    """Return the time (ms since the Unix epoch) in `extensions.metadata.retryAfter` of the refusal, or 0."""
    values = [error.metadata.get("retryAfter") for error in errors if error.is_limit]
    return next((float(value) for value in values if isinstance(value, int | float)), 0.0)
