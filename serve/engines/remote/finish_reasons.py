"""What servers say of how an answer ended. OpenAI's contract has few words for it; gateways pass on those of many others."""

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
"""The server has too much to do: for other questions, too."""
_INTERRUPTION_REASONS = frozenset(
    {
        *("error", "server_error", "internal_error", "network_error", "connection_error", "abort", "aborted"),
        *("cancelled", "canceled", "timeout", "interrupted", "unavailable", "engine_dead", "failed", "preempted"),
    }
)
_STOP_REASON = "stop"
_REASON_CODE = re.compile(r"[a-z0-9_]{1,40}")
"""What may be repeated in an error: a code, and no sentence."""


def parse_finish_reason(reason: str, text: str) -> Literal["stop", "length"]:
    """Tell how an answer ended.

    Args:
        reason: the server's word for it, in any case and with spaces or hyphens; empty where it has none.
        text: the answer. A reason that is not known here counts as the answer's end where there is text.

    Raises:
        NonRetryableError: the server's filter ended it.
        UnavailableError: the server has too much to do.
        MalformedResponseError: the answer was interrupted.
    """
    code = re.sub(r"[\s-]+", "_", reason.strip().casefold())
    printable_code = code if _REASON_CODE.fullmatch(code) else "an unknown reason"
    if code in _LENGTH_REASONS:
        return "length"
    if code in _FILTER_REASONS:
        raise NonRetryableError(f"the model's server gave the answer up: {printable_code}")
    if code in _OVERLOAD_REASONS:
        raise UnavailableError(f"the model's server has too much to do: {printable_code}")
    if code in _INTERRUPTION_REASONS or (code != _STOP_REASON and not text.strip()):
        raise MalformedResponseError(f"the model's server broke off in the middle of an answer: {printable_code}")
    return "stop"
