"""Error responses as `application/problem+json` (RFC 9457). They never quote the request: it may hold transcript text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from operators.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    UnauthenticatedError,
    UnavailableError,
)
from operators.fields import format_field_path

RETRY_AFTER_S = 2
"""Seconds in the `Retry-After` header of a 503."""
MAX_CLOSE_REASON_BYTES = 123
"""The most bytes that a WebSocket's close reason may have (RFC 6455)."""
_SCHEMA_REF = "#/components/schemas/{model}"
"""Reference to a schema in the OpenAPI description."""
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat: within a day, a request with the same key gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}
_CODE_BY_STATUS = {413: "too-large"}
"""Problem codes that differ from HTTP's phrase for the status."""
STORE_ERRORS = (
    RedisConnectionError,
    RedisTimeoutError,
    ReadOnlyError,
    MasterDownError,
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
)
"""Errors of the stores that pass without a change of the request."""
UNEXPECTED_DETAIL = "an unexpected error occurred; the server's log has its type"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field: its path in the request, and what would be accepted."""

    field: str
    detail: str


class Problem(BaseModel):
    """An error, and how to fix it (RFC 9457). `type` identifies the kind of problem; some kinds have further members."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    """The invalid fields."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Build the OpenAPI description of a route's problem responses with these statuses."""
    content = {"application/problem+json": {"schema": {"$ref": _SCHEMA_REF.format(model="Problem")}}}
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        responses[status] = {"description": HTTPStatus(status).phrase, "content": content}
        if status in (429, 503):
            wait = {"description": "Seconds to wait before a retry.", "schema": {"type": "integer"}}
            responses[status]["headers"] = {"Retry-After": wait}
    return responses


def add_problems_to_openapi(app: FastAPI) -> None:
    """Add the problems that every route may answer with to an application's OpenAPI description.

    A JSON body may be unreadable (400), and any body too large (413), even on a route that takes none. A body or
    parameters may be invalid (422). FastAPI describes its own error for 422, which is replaced.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = generate()
            for path in description["paths"].values():
                for method, operation in path.items():
                    if method != "get":
                        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                    operation["responses"] = _operation_responses(method, operation)
            schemas = description["components"]["schemas"]
            for schema_name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(schema_name, None)
            schema = Problem.model_json_schema(ref_template=_SCHEMA_REF)
            schemas |= schema.pop("$defs") | {"Problem": schema}
            app.openapi_schema = description
        return app.openapi_schema

    app.openapi = openapi


def _operation_responses(method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    body = "requestBody" in operation
    is_json = "application/json" in operation.get("requestBody", {}).get("content", {})
    statuses = [
        status
        for status, applies in ((400, is_json), (413, method != "get"), (422, body or operation.get("parameters")))
        if applies
    ]
    added = {str(status): response for status, response in problem_responses(*statuses).items()}
    return dict(sorted((operation["responses"] | added).items()))


class BatchValidationError(Exception):
    """A batch has invalid events. The valid ones may have been accepted.

    Args:
        errors: the invalid fields.
        results: the results of the valid events.
    """

    def __init__(self, errors: Sequence[FieldError], results: Mapping[str, Any]) -> None:
        super().__init__("; ".join(error.field for error in errors))
        self.errors = errors
        self.results = results


def problem_response(
    code: str,
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """Build a problem response.

    Args:
        code: the end of the problem's `type`, by which programs tell problems apart.
        status: the HTTP status.
        detail: the error and how to fix it.
        errors: the invalid fields.
        headers: headers of the response.
        members: further members of the problem.
    """
    content: dict[str, Any] = {
        "type": f"urn:parley:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    if errors:
        content["errors"] = [{"field": error.field, "detail": error.detail} for error in errors]
    return JSONResponse(content, status, headers, "application/problem+json")


def field_errors(error: ValidationError | RequestValidationError, *prefix: str | int) -> list[FieldError]:
    """Convert pydantic's errors to field errors, without the fields' values.

    Args:
        error: pydantic's error.
        prefix: path from the request's root to the validated part.
    """
    return [
        FieldError(format_field_path((*prefix, *detail["loc"])) or "body", _message(detail))
        for detail in error.errors()
    ]


def describe_unavailability(error: Exception) -> str:
    """Describe an `UnavailableError` or one of `STORE_ERRORS`, which is also logged."""
    if isinstance(error, UnavailableError):
        return str(error)
    # The stores' messages name hosts and users, so neither the response nor the log has them.
    log.warning("a request failed because a store is unavailable", error=type(error).__name__)
    if isinstance(error, BusyLoadingError):
        return "Redis is loading its data; try again"
    return "the database or Redis can't be reached; try again"


def install_error_handlers(app: FastAPI) -> None:
    """Make an application answer with a problem for each error of Parley, of FastAPI, and of the stores."""
    app.exception_handler(InvalidInputError)(_invalid)
    app.exception_handler(BatchValidationError)(_batch_invalid)
    app.exception_handler(NotFoundError)(_unknown)
    app.exception_handler(ConflictError)(_refused)
    app.exception_handler(OverloadedError)(_overloaded)
    app.exception_handler(UnauthenticatedError)(_unauthenticated)
    for kind in (UnavailableError, *STORE_ERRORS):
        app.exception_handler(kind)(_unavailable)
    app.exception_handler(RequestValidationError)(_validation)
    app.exception_handler(WebSocketRequestValidationError)(_invalid_socket_request)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_unexpected)


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    # Messages of Parley's validators may quote the value.
    return message.replace(repr(error.get("input")), "this")


async def _invalid(_: Request, error: InvalidInputError) -> JSONResponse:
    return problem_response("invalid", 422, f"{error.field} is invalid", errors=[FieldError(error.field, error.fix)])


async def _batch_invalid(_: Request, error: BatchValidationError) -> JSONResponse:
    detail = "some events are invalid; `results` has the results of the others"
    return problem_response("invalid", 422, detail, errors=error.errors, **error.results)


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    return problem_response("unknown", 404, str(error))


async def _refused(_: Request, error: ConflictError) -> JSONResponse:
    return problem_response("refused", 409, error.fix, reason=error.reason)


async def _unauthenticated(_: Request, error: Exception) -> JSONResponse:
    return problem_response("unauthenticated", 401, str(error))


async def _overloaded(_: Request, error: OverloadedError) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after_s)}
    return problem_response(error.reason, 429, error.fix, headers=headers, retry_after=error.retry_after_s)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem_response("unavailable", 503, describe_unavailability(error), headers=headers)


async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
    # Without a JSON content type FastAPI reads the body as text, and reports that it isn't an object.
    if all(detail["loc"] == ("body",) for detail in error.errors()) and not _is_json(
        request.headers.get("content-type", "")
    ):
        field_error = FieldError("content-type", "must be application/json")
        return problem_response("invalid", 422, "the body was not sent as JSON", errors=[field_error])
    errors = [
        # The first part of a path is `body`, `query`, `path` or `header`.
        FieldError(wrong.field.partition(".")[2] or wrong.field, wrong.detail)
        for wrong in field_errors(error)
    ]
    return problem_response("invalid", 422, "the request is invalid", errors=errors)


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


async def _invalid_socket_request(socket: WebSocket, error: WebSocketRequestValidationError) -> None:
    """Close a WebSocket with the reason. It is accepted first, because browsers get no reason for a rejected one."""
    first = error.errors()[0]
    await socket.accept()
    await socket.close(
        4422,
        f"{format_field_path(first['loc'][-1:])}: {_message(first)}".encode()[:MAX_CLOSE_REASON_BYTES].decode(
            errors="ignore"
        ),
    )


async def _http(_: Request, error: HTTPException) -> JSONResponse:
    code = _CODE_BY_STATUS.get(error.status_code) or HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return problem_response(code, error.status_code, error.detail, headers=error.headers)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    log.error("a request failed unexpectedly", error=type(error).__name__)
    return problem_response("failed", 500, UNEXPECTED_DETAIL)
