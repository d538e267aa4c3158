"""What engines have in common whose model is on a server of somebody's: past which proxy it is, and what a refusal means."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

from operators.errors import Loading, Malformed, Misconfigured, Unavailable
from serve.engines.engine import Prompt, Unanswerable
from serve.engines.server_words import server_words, shortened

_HERE = {"127.0.0.1", "localhost", "::1"}
_FOR_GOOD = re.compile(
    r"context.?(?:length|window|size)|maximum model length|too long|too large|maximum.{0,20}tokens"
    r"|content.?(?:filter|policy)|json.?schema|invalid schema",
    re.I,
)
"""How servers say that a question is too much for the model, that they don't answer such, or can't keep to its schema."""
_LOADING = re.compile(
    r"(?:loading|warming up|starting)\b.{0,40}\bmodel|\bmodel\b.{0,80}\b(?:loading|warming up|not (?:yet )?(?:loaded|ready))",
    re.I,
)
"""How servers say that they are not ready yet."""
_KEY = {401, "UNAUTHENTICATED", "PERMISSION_DENIED"}
_ACCOUNT = 402
_MISSING = {404, "NOT_FOUND", "UNIMPLEMENTED"}
_PASSING = {408, 409, 425, 429}
_OF_THE_QUESTION = {"INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION"}
"""gRPC's names for what HTTP has numbers from 400 to 499 for."""
_STATUS_BY_WORDS = (
    (401, re.compile(r"api.?key|authenti|unauthori[sz]ed", re.I)),
    (402, re.compile(r"quota|billing|payment|credit|balance|arrear", re.I)),
    (404, re.compile(r"model.{0,60}(?:not.?found|not exist|unknown)|no such model|model_not_found", re.I)),
    (
        503,
        re.compile(
            r"rate.?limit|too many|overload|capacity|busy|time.?d? ?out|unavailable|internal|server.?error|try again",
            re.I,
        ),
    ),
    (400, re.compile(r"inspection|moderat|content|safety|sensitive|invalid|bad.?request|unsupported|too long", re.I)),
)
"""What an error is that comes without a number."""


class RefusedByServer(Unanswerable):
    """A server refuses a question, and may refuse every other one. A control question tells which: `serve.engines.breaker`.

    Args:
        words: the status and the server's own words, free of speech.
    """

    def __init__(self, words: str) -> None:
        super().__init__(f"the model's server refuses this question: {words}")
        self.words = words


class FailedAtServer(Unavailable):
    """A server failed at a question, and may fail at every other one. A control question tells which."""


def is_here(url: str) -> bool:
    """Whether a server is on this machine. The proxies that the environment names are for the world outside."""
    return urlsplit(url).hostname in _HERE


def refused(
    status: int | str, error: object, question: Prompt, retry_after: str | None = None
) -> Unanswerable | Unavailable:
    """What a refusal means: whether it is about the question, about all questions, or passes.

    Args:
        status: HTTP's number, or gRPC's name.
        error: what the server says with it: text or JSON. It may quote the question; nothing of that is in the result.
        question: what was asked.
        retry_after: HTTP's header of that name, if it came.
    """
    said = server_words(error)
    words = f"{status} {shortened(said, question)}".strip()
    if status in _KEY:
        # What it says may hold a part of the key.
        return Misconfigured("the model's server refuses the key: look at the engine's `key`")
    if status == _ACCOUNT:
        return Misconfigured(f"the model's server wants the account to be paid: {words}")
    if status in _MISSING:
        return Misconfigured(
            "the model's server doesn't know the model, or has no such API: look at the engine's `url` and `model`: "
            f"{words}"
        )
    by_number = isinstance(status, int) and 400 <= status < 500 and status not in _PASSING
    # Triton's vLLM backend calls whatever vLLM refuses an internal error.
    if (by_number or status in (*_OF_THE_QUESTION, "INTERNAL")) and _FOR_GOOD.search(said):
        return Unanswerable(f"the model's server refuses this question: {words}")
    if by_number or status in _OF_THE_QUESTION:
        return RefusedByServer(words)
    wait = _seconds(retry_after)
    if _LOADING.search(said):
        return Loading("the model's server loads its model", wait)
    # Where it asks to be left alone, it is not the question.
    kind = FailedAtServer if isinstance(status, int) and status >= 500 and wait is None else Unavailable
    return kind(f"the model's server answers {status}", wait)


def refused_within(error: object, question: Prompt) -> Unanswerable | Unavailable:
    """What an error means that came in place of an answer, or in the middle of one, without a status of its own."""
    fields = cast(dict[str, Any], error) if isinstance(error, dict) else {}
    for name in ("code", "status", "status_code", "http_code"):
        status = str(fields.get(name))
        if re.fullmatch(r"[45]\d\d", status):
            return refused(int(status), error, question)
    said = server_words(error)
    found = next((status for status, pattern in _STATUS_BY_WORDS if pattern.search(said)), None)
    if found is None:
        return Malformed("the model's server sent an error in place of an answer")
    return refused(found, error, question)


def _seconds(retry_after: str | None) -> float | None:
    """The seconds for which a server asks to be left alone, if it says so: in seconds, or until a date."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return _seconds_until(retry_after)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str | None) -> float | None:
    try:
        until = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
