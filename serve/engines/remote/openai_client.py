"""The client of OpenAI-compatible servers, its timeouts, and the meaning of its connection errors."""

from __future__ import annotations

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

from operators.errors import UnavailableError, UnreachableError
from serve.engines.server_errors import is_loopback

CONNECT_S, WRITE_S = 5.0, 10.0
DEFAULT_TIMEOUT = Timeout(connect=CONNECT_S, read=30.0, write=WRITE_S, pool=None)
"""Seconds. A server that sends nothing for the read timeout has lost the request, and the caller may retry."""


def make_openai_client(url: str, key: str | None) -> AsyncOpenAI:
    """Make the client of a server. It never retries: the caller does, within a deadline that the client doesn't know.

    Args:
        url: base URL of the API, like `http://127.0.0.1:11434/v1`.
        key: the API key; None if the server needs none.
    """
    return AsyncOpenAI(
        base_url=url,
        api_key=(key or "").strip() or "none",
        timeout=DEFAULT_TIMEOUT,
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(trust_env=not is_loopback(url)),
    )


def map_connection_error(error: openai.APIConnectionError) -> UnavailableError:
    """Map a connection error. `UnreachableError` means that the server never received the request."""
    cause = error.__cause__
    if isinstance(cause, httpx2.ReadTimeout):
        return UnavailableError("the model's server sent nothing for too long")
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return UnreachableError("the model's server can't be reached at its address")
    return UnavailableError(f"the model's server: {type(error).__name__}")
