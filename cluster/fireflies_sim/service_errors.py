"""The errors of the GraphQL API: their codes, their HTTP status and their form, as Fireflies documents them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from graphql import GraphQLError

HELP_URL = "https://docs.fireflies.ai/miscellaneous/error-codes#{code}"
VALIDATION_CODE = "GRAPHQL_VALIDATION_FAILED"


class ServiceError(GraphQLError):
    """An error of the API.

    Args:
        code: the error's code, such as `too_many_requests`.
        message: the message.
        status: the HTTP status that the error names.
        metadata: further values.
    """

    def __init__(self, code: str, message: str, status: int, metadata: Mapping[str, Any] | None = None) -> None:
        extensions: dict[str, Any] = {"code": code, "status": status, "helpUrls": [HELP_URL.format(code=code)]}
        if metadata is not None:
            extensions["metadata"] = dict(metadata)
        super().__init__(message, extensions=extensions)


def auth_failed() -> ServiceError:
    """Return the error of a missing or wrong API key."""
    return ServiceError("auth_failed", "Invalid or missing API key", 401)


def not_found(object_type: str) -> ServiceError:
    """Return the error of an id that nothing has. `object_type` is the kind of object, such as `Transcript`."""
    return ServiceError("object_not_found", f"{object_type} not found", 404, {"objectType": object_type})


def invalid_argument(name: str, message: str, constraint: str) -> ServiceError:
    """Return the error of an invalid argument.

    Args:
        name: the argument.
        message: which values are accepted.
        constraint: name of the violated constraint, such as `max`.
    """
    field = {"name": name, "message": message, "constraints": [{"type": constraint, "message": message}]}
    return ServiceError("invalid_arguments", "Invalid argument(s) were provided", 400, {"fields": [field]})


def too_many_requests(retry_after_s: float, now_ms: int) -> ServiceError:
    """Return the error of an exceeded limit.

    Args:
        retry_after_s: seconds until a request is admitted.
        now_ms: the time, in ms since the epoch.
    """
    retry_at_ms = now_ms + round(retry_after_s * 1000)
    retry_at = datetime.fromtimestamp(retry_at_ms / 1000, UTC)
    clock = f"{retry_at:%I:%M:%S %p}".lstrip("0")
    return ServiceError(
        "too_many_requests",
        f"Too many requests. Please retry after {clock} (UTC)",
        429,
        {"retryAfter": retry_at_ms},
    )


def unsupported_platform() -> ServiceError:
    """Return the error of a meeting link that the notetaker can't join."""
    message = "The meeting platform is not supported. Please use a supported meeting platform URL."
    return ServiceError("unsupported_platform", message, 400)


def paid_required(field: str, plans: Sequence[str]) -> ServiceError:
    """Return the error of a field that the user's plan lacks. `plans` are those that have it."""
    return ServiceError("paid_required", f"A paid plan is required for {field}", 403, {"plans": list(plans)})


def format_error(error: GraphQLError) -> dict[str, Any]:
    """Return an error as the API sends it. An error without a code is one of the query itself."""
    formatted: dict[str, Any] = dict(error.formatted)
    extensions: dict[str, Any] = dict(error.extensions or {"code": VALIDATION_CODE, "status": 400})
    return {
        **formatted,
        "code": extensions["code"],
        "friendly": isinstance(_cause(error), ServiceError),
        "extensions": extensions,
    }


def http_status(errors: list[GraphQLError]) -> int:
    """Return the HTTP status of an executed query. Limits have their own; other errors are in a successful response."""
    statuses = {(error.extensions or {}).get("status") for error in errors}
    return 429 if 429 in statuses else 200


def _cause(error: GraphQLError) -> BaseException:
    return error.original_error or error
