"""What servers say of how an answer ended. OpenAI's contract has few words for it; gateways pass on those of many others."""

from __future__ import annotations

import re
from typing import Literal

from operators.errors import Malformed, Unavailable
from serve.engines.engine import Unanswerable

_LENGTH = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "max_new_tokens"})
_FILTERED = frozenset(
    {
        *("content_filter", "content_filtered", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
        *("sensitive", "refusal", "guardrail_intervened", "image_safety"),
    }
)
"""The server's own filter ended the answer."""
_BUSY = frozenset({"insufficient_system_resource", "overloaded", "overloaded_error", "server_busy", "rate_limit"})
"""The server has too much to do: for other questions, too."""
_INTERRUPTED = frozenset(
    {
        *("error", "server_error", "internal_error", "network_error", "connection_error", "abort", "aborted"),
        *("cancelled", "canceled", "timeout", "interrupted", "unavailable", "engine_dead", "failed", "preempted"),
    }
)
_STOP = "stop"
_WORD = re.compile(r"[a-z0-9_]{1,40}")
"""What may be repeated in an error: a code, and no sentence."""


def finish_of(reason: str, text: str) -> Literal["stop", "length"]:
    """Tell how an answer ended.

    Args:
        reason: the server's word for it, in any case and with spaces or hyphens; empty where it has none.
        text: the answer. A reason that is not known here counts as the answer's end where there is text.

    Raises:
        Unanswerable: the server's filter ended it.
        Unavailable: the server has too much to do.
        Malformed: the answer was interrupted.
    """
    word = re.sub(r"[\s-]+", "_", reason.strip().casefold())
    shown = word if _WORD.fullmatch(word) else "an unknown reason"
    if word in _LENGTH:
        return "length"
    if word in _FILTERED:
        raise Unanswerable(f"the model's server gave the answer up: {shown}")
    if word in _BUSY:
        raise Unavailable(f"the model's server has too much to do: {shown}")
    if word in _INTERRUPTED or (word != _STOP and not text.strip()):
        raise Malformed(f"the model's server broke off in the middle of an answer: {shown}")
    return "stop"
