"""What engines have in common whose model is on a server of somebody's: past which proxy it is, and what a refusal means."""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from operators.errors import Unavailable
from serve.engines.engine import Unanswerable

_HERE = {"127.0.0.1", "localhost", "::1"}
_FOR_GOOD = re.compile(
    r"context.?(?:length|window|size)|maximum model length|too long|too large|maximum.{0,20}tokens"
    r"|content.?(?:filter|policy)|json.?schema|invalid schema",
    re.I,
)
"""How servers say that a question is too much for the model, that they don't answer such, or can't keep to its schema."""
_AT_FAULT = {400, 422, "INVALID_ARGUMENT", "INTERNAL"}
"""What they say it with, beside other things. Triton's vLLM backend calls whatever vLLM refuses an internal error."""
_KEY = {401, 403, "UNAUTHENTICATED", "PERMISSION_DENIED"}
_MISSING = {404, "NOT_FOUND", "UNIMPLEMENTED"}


def is_here(url: str) -> bool:
    """Whether a server is on this machine. The proxies that the environment names are for the world outside."""
    return urlsplit(url).hostname in _HERE


def refused(status: int | str, said: str, retry_after: str | None = None) -> Unanswerable | Unavailable:
    """What a refusal means for the question: whether it is the question's fault, or one that may be mended.

    Args:
        status: HTTP's number, or gRPC's name.
        said: what the server says with it. It may quote the prompt, so it is in no error.
        retry_after: HTTP's header of that name, if it came.
    """
    if status == 413 or (status in _AT_FAULT and _FOR_GOOD.search(said)):
        return Unanswerable(f"the model's server refuses this question: {status}")
    if status in _KEY:
        return Unavailable("the model's server refuses the key: look at the engine's `key`")
    if status in _MISSING:
        return Unavailable(
            "the model's server doesn't know the model, or has no such API: look at the engine's `url` and `model`"
        )
    return Unavailable(f"the model's server answers {status}", _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """The seconds for which a server asks to be left alone, if it says so in seconds."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
