"""Engine of a model behind Translation Service V3: `POST /api/v3/translate` takes a prompt, and doesn't stream its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx

from operators.errors import MalformedResponseError, UnavailableError, UnreachableError
from serve.engines.protocol import Generation, NonRetryableError, Prompt, StreamAccumulator, probe
from serve.engines.server_errors import error_from_status, is_loopback

_PATH = "/api/v3/translate"
_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=10.0, pool=None)
"""Seconds. The read timeout is long, because the service sends nothing before the answer is complete."""
_TEXT_FIELDS = ("text", "translated_text")
_MODEL_FIELDS = ("model", "model_used")


class TranslationV3Engine:
    """Calls a translation service.

    The service doesn't stream, and counts no tokens. It doesn't report whether an answer was cut off: each counts as complete.
    Its `processing_time` is ignored: times are measured here. It supports no schemas.

    Args:
        url: base URL of the service, like `http://127.0.0.1:5003`.
        key: the API key, sent as a bearer token; None if the server needs none.
        model: the model; None for the service's default.
    """

    name = "proxy"

    def __init__(self, url: str, key: str | None = None, model: str | None = None) -> None:
        self.version = model or "v3"
        self._model_field = {"model": model} if model else {}
        key = (key or "").strip()
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT,
            # The caller limits the requests in flight.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=not is_loopback(url),
        )

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in one piece. Cancelling closes the connection, at which the server may cancel the request.

        Raises:
            NonRetryableError: the server rejects this request, or the request has a schema.
            UnavailableError: the server can't be reached, rejects the key, or is overloaded.
            MalformedResponseError: the response is no answer.
        """
        if request.schema is not None:
            raise NonRetryableError("the translation service knows no schemas: choose another engine for this")
        accumulator = StreamAccumulator()
        body = {
            "prompt": "\n\n".join(message.content for message in request.messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            **self._model_field,
        }
        try:
            response = await self._client.post(_PATH, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise UnreachableError("the model's server can't be reached at its address") from None
        except httpx.HTTPError as error:
            raise UnavailableError(f"the model's server: {type(error).__name__}") from None
        if not response.is_success:
            raise error_from_status(
                response.status_code, _error_body(response), request, response.headers.get("retry-after")
            )
        fields = _parse_body(response)
        text = _first_text(fields, _TEXT_FIELDS)
        if text is None:
            raise MalformedResponseError(
                f"the model's server sent no answer: it has neither {' nor '.join(_TEXT_FIELDS)}"
            )
        if text:
            yield accumulator.add(text)
        yield accumulator.complete(_first_text(fields, _MODEL_FIELDS) or self.version, "stop")

    async def check_health(self) -> None:
        """Have the server answer a short prompt.

        Raises:
            UnavailableError: the server doesn't answer.
        """
        await probe(self)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _error_body(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return response.text


def _parse_body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        raise MalformedResponseError("the model's server sent no answer: it is no JSON") from None
    return cast(dict[str, Any], body) if isinstance(body, dict) else {}


def _first_text(fields: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of the named fields that holds text; None if none does."""
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
