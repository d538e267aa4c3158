"""The errors in a response of Fireflies' GraphQL API, and what they are to Parley."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from operators.errors import InvalidInputError, MisconfiguredError, NotFoundError, ParleyError, UnavailableError

MAX_MESSAGE_CHARS = 200
"""Number of characters of Fireflies' own message that an error quotes."""

_LIMIT_CODES = ("too_many_requests", "rate_limit_exceeded")
_KEY_CODES = ("auth_failed", "unauthorized", "invalid_api_key", "unauthenticated")
_NOT_FOUND_CODES = ("object_not_found", "not_found", "invalid_transcript_id")
_PASSING_CODES = ("request_timeout", "invariant_violation", "internal_server_error")
_FIELDS = {
    "fromDate": "since",
    "toDate": "until",
    "duration": "duration_min",
    "invalid_language_code": "language",
}
"""Parley's fields by Fireflies' arguments, and by codes that concern one field."""


class PlanLimitError(InvalidInputError):
    """The account's plan does not include what was requested."""

    def __init__(self) -> None:
        super().__init__("plan", "the account's plan at Fireflies does not include what was requested")


@dataclass(frozen=True, slots=True)
class ResponseError:
    """An error in a response.

    Attributes:
        code: the error's code in lower case, such as `object_not_found`; empty if it has none.
        message: Fireflies' message.
        status: the HTTP status that the error names; 0 if it names none. The response's own is often 200.
        path: the part of the data that the error concerns; empty for the whole request.
        metadata: further values.
    """

    code: str
    message: str
    status: int
    path: tuple[Any, ...]
    metadata: Mapping[str, Any]

    @property
    def is_limit(self) -> bool:
        """Whether Fireflies refuses further requests for now."""
        return self.code in _LIMIT_CODES or "too many requests" in self.message.casefold()

    def is_below(self, field: str) -> bool:
        """Return whether the error concerns a part of a field only, such as an item of a list."""
        return len(self.path) > 1 and self.path[0] == field


def parse_errors(body: Any) -> list[ResponseError]:
    """Return the errors of a decoded response. An error that can't be read has no code."""
    errors = _object(body).get("errors")
    if not isinstance(errors, list):
        return []
    return [_parse_error(_object(error)) for error in cast("list[Any]", errors)]


def to_parley_error(status: int, error: ResponseError | None, subject: str) -> ParleyError | None:
    """Return what a refusal is to Parley; None if there is none.

    Args:
        status: the response's HTTP status.
        error: the response's error, if any.
        subject: the field of Parley that an error concerns if it names none, such as `transcript_id`.
    """
    code = "" if error is None else error.code
    if status == 401 or code in _KEY_CODES:
        return MisconfiguredError("Fireflies refuses the API key: check it at app.fireflies.ai, Integrations")
    if code == "account_cancelled":
        return MisconfiguredError(
            "the account at Fireflies is cancelled: renew its subscription, or use the API key of another account"
        )
    if code == "paid_required":
        return PlanLimitError()
    if code == "forbidden":
        return InvalidInputError(
            subject, "this account may not read it at Fireflies: ask the meeting's owner to share the transcript"
        )
    if status == 404 or code in _NOT_FOUND_CODES:
        return NotFoundError("Fireflies does not have what was requested")
    for each in (status, 0 if error is None else error.status):
        if each == 408 or each >= 500:
            return UnavailableError(f"Fireflies' API answers with status {each}")
    if code in _PASSING_CODES:
        return UnavailableError(f"Fireflies' API can't answer now ({code})")
    if status == 403:
        return MisconfiguredError("Fireflies refuses the API key: check it at app.fireflies.ai, Integrations")
    return None if error is None else _to_invalid_input_error(error, subject)


def _to_invalid_input_error(error: ResponseError, subject: str) -> InvalidInputError:
    """Name Parley's field. Fireflies names its own argument, if any."""
    field, message = _FIELDS.get(error.code, subject), error.message
    details = error.metadata.get("fields")
    if isinstance(details, list) and details:
        detail = _object(cast("list[Any]", details)[0])
        name = detail.get("name")
        if isinstance(name, str) and name.isidentifier():
            field, message = _FIELDS.get(name, name), str(detail.get("message") or message)
    words = f": {message[:MAX_MESSAGE_CHARS]}" if message and message.isprintable() else ""
    return InvalidInputError(field, f"Fireflies refuses it ({error.code or 'no code given'}){words}")


def _parse_error(error: Mapping[str, Any]) -> ResponseError:
    extensions = _object(error.get("extensions"))
    status, path = extensions.get("status"), error.get("path")
    return ResponseError(
        code=str(error.get("code") or extensions.get("code") or "").casefold(),
        message=str(error.get("message") or ""),
        status=status if isinstance(status, int) else 0,
        path=tuple(cast("list[Any]", path)) if isinstance(path, list) else (),
        metadata=_object(extensions.get("metadata")),
    )


def _object(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
