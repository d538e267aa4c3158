"""A model behind Translation Service V3: `POST /api/v3/translate` takes a ready prompt, and gives the whole answer at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx

from operators.errors import Malformed, Unavailable, Unreachable
from serve.engines.engine import Generation, Prompt, Unanswerable, Written, prove
from serve.engines.remote import is_here, refused

_PATH = "/api/v3/translate"
_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=10.0, pool=None)
"""Seconds. It says nothing until it has all of the answer."""
_TEXT = ("text", "translated_text")
_MODEL = ("model", "model_used")


class ProxyEngine:
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
        self._named = {"model": model} if model else {}
        key = (key or "").strip()
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT,
            # Whoever asks bounds what is under way.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=not is_here(url),
        )

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in one piece. Cancelled, the connection is cut, which the server may take for the end of it.

        Raises:
            Unanswerable: the server refuses this question, or a schema is asked for.
            Unavailable: the server can't be reached, refuses the key, or has too much to do.
            Malformed: it sent something else than an answer.
        """
        if question.schema is not None:
            raise Unanswerable("the translation service knows no schemas: choose another engine for this")
        written = Written()
        body = {
            "prompt": "\n\n".join(message.content for message in question.messages),
            "max_tokens": question.max_tokens,
            "temperature": question.temperature,
            **self._named,
        }
        try:
            response = await self._client.post(_PATH, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Unreachable("nobody answers at the address of the model's server") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"the model's server: {type(error).__name__}") from None
        if not response.is_success:
            raise refused(response.status_code, _said(response), question, response.headers.get("retry-after"))
        answer = _read(response)
        text = _first(answer, _TEXT)
        if text is None:
            raise Malformed(f"the model's server sent no answer: it has neither {' nor '.join(_TEXT)}")
        if text:
            yield written.add(text)
        yield written.whole(_first(answer, _MODEL) or self.version, "stop")

    async def check_health(self) -> None:
        """Have the server answer.

        Raises:
            Unavailable: it doesn't.
        """
        await prove(self)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _said(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return response.text


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        raise Malformed("the model's server sent no answer: it is no JSON") from None
    return cast(dict[str, Any], answer) if isinstance(answer, dict) else {}


def _first(answer: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """What the answer has under the first of these names that holds text."""
    return next((answer[name] for name in names if isinstance(answer.get(name), str)), None)
