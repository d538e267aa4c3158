"""Maps the finish reasons of servers. OpenAI's contract has few; gateways pass on those of many other providers."""

from __future__ import annotations

import re
from typing import Literal

from operators.errors import MalformedResponseError, UnavailableError
from serve.engines.protocol import NonRetryableError

_LENGTH_REASONS = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "max_new_tokens"}
)
_FILTER_REASONS = frozenset(
    {
        *("content_filter", "content_filtered", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
        *("sensitive", "refusal", "guardrail_intervened", "image_safety"),
    }
)
"""The server's own filter ended the answer."""
_OVERLOAD_REASONS = frozenset(
    {"insufficient_system_resource", "overloaded", "overloaded_error", "server_busy", "rate_limit"}
)
"""The server is overloaded: other requests are affected as well."""
_INTERRUPTION_REASONS = frozenset(
    {
        *("error", "server_error", "internal_error", "network_error", "connection_error", "abort", "aborted"),
        *("cancelled", "canceled", "timeout", "interrupted", "unavailable", "engine_dead", "failed", "preempted"),
    }
)
_STOP_REASON = "stop"
_REASON_CODE = re.compile(r"[a-z0-9_]{1,40}")
"""Reasons that an error message may quote: codes, never sentences."""


def parse_finish_reason(reason: str, text: str) -> Literal["stop", "length"]:
    """Map a server's finish reason.

    Args:
        reason: the server's reason, in upper or lower case, with spaces or hyphens; "" if the server gave none.
        text: the answer. With text, an unknown reason counts as a complete answer.

    Returns:
        `stop` if the answer is complete, `length` if it was cut off.

    Raises:
        NonRetryableError: the server's content filter ended the answer.
        UnavailableError: the server is overloaded.
        MalformedResponseError: the answer was interrupted.
    """
    code = re.sub(r"[\s-]+", "_", reason.strip().casefold())
    printable_code = code if _REASON_CODE.fullmatch(code) else "an unknown reason"
    if code in _LENGTH_REASONS:
        return "length"
    if code in _FILTER_REASONS:
        raise NonRetryableError(f"the model's server stopped the answer: {printable_code}")
    if code in _OVERLOAD_REASONS:
        raise UnavailableError(f"the model's server is overloaded: {printable_code}")
    if code in _INTERRUPTION_REASONS or (code != _STOP_REASON and not text.strip()):
        raise MalformedResponseError(f"the model's server broke off in the middle of an answer: {printable_code}")
    return "stop"
