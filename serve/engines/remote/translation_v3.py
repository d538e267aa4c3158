"""A model behind Translation Service V3: `POST /api/v3/translate` takes a ready prompt, and gives the whole answer at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx

from operators.errors import MalformedResponseError, UnavailableError, UnreachableError
from serve.engines.protocol import Generation, NonRetryableError, Prompt, StreamAccumulator, probe
from serve.engines.server_errors import error_from_status, is_loopback

_PATH = "/api/v3/translate"
_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=10.0, pool=None)
"""Seconds. It says nothing until it has all of the answer."""
_TEXT_FIELDS = ("text", "translated_text")
_MODEL_FIELDS = ("model", "model_used")


class TranslationV3Engine:
    """Asks a translation service of somebody's.

    It doesn't stream, counts no tokens, and doesn't say whether an answer was cut off: each counts as one that came to its
    end. Its `processing_time` is left aside: times are those that whoever asks has waited. It knows no schemas.

    Args:
        url: where it is, as `http://127.0.0.1:5003`.
        key: what the server asks for, where it does; sent as a bearer's.
        model: what is to answer; the service's own choice where none is named.
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
            # Whoever asks bounds what is under way.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=not is_loopback(url),
        )

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in one piece. Cancelled, the connection is cut, which the server may take for the end of it.

        Raises:
            NonRetryableError: the server refuses this question, or a schema is asked for.
            UnavailableError: the server can't be reached, refuses the key, or has too much to do.
            MalformedResponseError: it sent something else than an answer.
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
            raise UnreachableError("nobody answers at the address of the model's server") from None
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
        """Have the server answer.

        Raises:
            UnavailableError: it doesn't.
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
    """What the answer has under the first of these names that holds text."""
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
