"""Errors of model servers: maps HTTP and gRPC statuses to Parley's errors. Also tells local servers from remote ones."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

from operators.errors import MalformedResponseError, MisconfiguredError, ModelLoadingError, UnavailableError
from serve.engines.error_redaction import extract_message, redact_message
from serve.engines.protocol import NonRetryableError, Prompt

_LOOPBACK_HOSTS = {"127.0.0.1", "localhost", "::1"}
_PERMANENT_REJECTION = re.compile(
    r"context.?(?:length|window|size)|maximum (?:model |sequence |input |prompt )length|too long|too large"
    r"|maximum.{0,20}tokens(?! per\b)|too many (?:\w+ )?tokens(?!.{0,40}\b(?:per|wait|try again|rate))"
    r"|(?:prompt|input|sequence|tokens?)\b(?!.{0,60}\b(?:quota|per|rate|balance|credits?)\b).{0,40}\bexceed|reduce the length"
    r"|content.?(?:filter|policy)|json.?schema|invalid schema",
    re.I,
)
"""Messages about this one request: it is too long for the model, filtered, or has a schema that the server can't apply."""
_MODEL_LOADING = re.compile(
    r"(?:loading|warming up|starting)\b.{0,40}\bmodel|\bmodel\b.{0,80}\b(?:loading|warming up|not (?:yet )?(?:loaded|ready))",
    re.I,
)
"""Messages of a server whose model is not loaded yet."""
_AUTH_STATUSES = {401, "UNAUTHENTICATED", "PERMISSION_DENIED"}
_PAYMENT_STATUS = 402
_NOT_FOUND_STATUSES = {404, "NOT_FOUND", "UNIMPLEMENTED"}
_RETRYABLE_STATUSES = {408, 409, 425, 429}
_GRPC_REQUEST_STATUSES = {"INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION"}
"""gRPC's counterparts of HTTP's statuses 400 to 499."""
_STATUS_PATTERNS = (
    # Temporary, even if the message mentions a key, a quota or an account.
    (
        503,
        re.compile(
            r"rate.?limit|too many requests|\bper.?(?:second|minute|hour|sec\b|min\b)|\b[RT]PM\b|tim(?:e|ed)[ _-]?out|timeout"
            r"|(?:load.?balanc|service|upstream|gateway|server).{0,30}(?:unavailable|error|fail)",
            re.I,
        ),
    ),
    (400, _PERMANENT_REJECTION),
    (503, _MODEL_LOADING),
    (401, re.compile(r"api.?key|authenticat|unauthori[sz]ed|credentials", re.I)),
    (
        402,
        re.compile(
            r"(?<!disk )(?<!memory )(?<!storage )quota|\bbilling\b|\bpayments?\b|\bcredits?\b|\barrear"
            r"|\b(?:account|insufficient|low|negative|no|not enough|your|remaining|zero|available|top.?up|recharge)\W+"
            r"(?:\w+\W+){0,2}?(?<!load )(?<!load-)balance\b"
            r"|(?<!load )(?<!load-)\bbalance\b.{0,30}(?:insufficient|low|not enough|empty|exhaust|negative|zero|deplet|account)"
            r"|insufficient_?balance|balance_?(?:insufficient|not_enough)",
            re.I,
        ),
    ),
    (
        404,
        re.compile(
            r"model.{0,60}(?:not.?found|not exist|decommissioned|discontinued|no longer (?:available|supported|served))"
            r"|\bmodel\b\W{1,3}(?:[\w./:-]+\W{1,3})?(?:is |was )?(?:not|isn't) (?:a )?(?:valid|known|recogni[sz]ed|supported)\b"
            r"|\bmodel\b.{0,60}\bunknown\b(?! (?:error|exception|failure|reason|cause))"
            r"|(?:no such|unknown|unrecogni[sz]ed|unsupported|no|find(?: the| any)?)[ _]model\b"
            r"(?!\W+(?:error|exception|failure|output|response|state|worker|instance|replica|server|capacity"
            r"|(?:is |was |has been )?(?:currently |yet )?(?:loaded|available|ready|running)))"
            r"|invalid[ _]model(?:[ _](?:name|id|identifier)\b|\W*[:=\"'`]|\W*$)|not a valid model\b|no endpoints found",
            re.I,
        ),
    ),
    (
        503,
        re.compile(
            r"too many|overload|capacity|busy|unavailable|internal|server.?error|try again|upstream|gateway", re.I
        ),
    ),
    (400, re.compile(r"inspection|moderat|content|safety|sensitive|invalid|bad.?request|unsupported", re.I)),
)
"""Statuses guessed from the message, for errors that have none."""


class ServerRejectedError(NonRetryableError):
    """A server rejects a request, and may reject every other one.

    A control request shows which it is: see `serve.engines.remote.circuit_breaker`.

    Args:
        server_message: the status and the server's message, without transcript text.
    """

    def __init__(self, server_message: str) -> None:
        super().__init__(f"the model's server refuses this request: {server_message}")
        self.server_message = server_message


class ServerFailureError(UnavailableError):
    """A server failed at a request, and may fail at every other one. A control request shows which it is."""


def is_loopback(url: str) -> bool:
    """Return whether a server is on this machine. The proxies of the environment variables apply to other machines only."""
    return urlsplit(url).hostname in _LOOPBACK_HOSTS


def error_from_status(
    status: int | str, error: object, prompt: Prompt, retry_after: str | None = None
) -> NonRetryableError | UnavailableError:
    """Map a server's error to Parley's: it affects this request, affects every request, or is temporary.

    Args:
        status: HTTP's status code, or gRPC's status name.
        error: the error's body: text or JSON. It may quote the prompt; the result doesn't.
        prompt: the request.
        retry_after: the value of HTTP's `Retry-After` header, if there is one.
    """
    message = extract_message(error)
    redacted = f"{status} {redact_message(message, prompt)}".strip()
    if status in _AUTH_STATUSES:
        # The server's message may quote a part of the key.
        return MisconfiguredError("the model's server refuses the key: check the engine's `key`")
    if status == _PAYMENT_STATUS:
        return MisconfiguredError(f"the model's server requires payment for the account: {redacted}")
    if status in _NOT_FOUND_STATUSES:
        return MisconfiguredError(
            "the model's server doesn't know the model, or has no such API: check the engine's `url` and `model`: "
            f"{redacted}"
        )
    is_client_error = isinstance(status, int) and 400 <= status < 500 and status not in _RETRYABLE_STATUSES
    # Triton's vLLM backend reports every request that vLLM rejects as an internal error.
    if (is_client_error or status in (*_GRPC_REQUEST_STATUSES, "INTERNAL")) and _PERMANENT_REJECTION.search(message):
        return NonRetryableError(f"the model's server refuses this request: {redacted}")
    if is_client_error or status in _GRPC_REQUEST_STATUSES:
        return ServerRejectedError(redacted)
    retry_after_s = _parse_retry_after(retry_after)
    if _MODEL_LOADING.search(message):
        return ModelLoadingError("the model's server loads its model", retry_after_s)
    # A server that names a time to wait is overloaded: this request is not the cause.
    error_type = (
        ServerFailureError if isinstance(status, int) and status >= 500 and retry_after_s is None else UnavailableError
    )
    return error_type(f"the model's server answers {status}", retry_after_s)


def error_from_body(error: object, prompt: Prompt) -> NonRetryableError | UnavailableError:
    """Map an error that was sent instead of an answer, or within one, without an HTTP status.

    Args:
        error: the error: text or JSON. It may quote the prompt; the result doesn't.
        prompt: the request.
    """
    fields = cast(dict[str, Any], error) if isinstance(error, dict) else {}
    for name in ("code", "status", "status_code", "http_code"):
        status = str(fields.get(name))
        if re.fullmatch(r"[45]\d\d", status):
            return error_from_status(int(status), error, prompt)
    message = extract_message(error)
    guessed_status = next((status for status, pattern in _STATUS_PATTERNS if pattern.search(message)), None)
    if guessed_status is None:
        return MalformedResponseError("the model's server sent an error in place of an answer")
    return error_from_status(guessed_status, error, prompt)


def _parse_retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, which holds seconds or a date; None if it holds neither."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return _parse_retry_date(retry_after)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _parse_retry_date(date: str | None) -> float | None:
    try:
        until = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
