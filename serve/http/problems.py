"""Every error as `application/problem+json` (RFC 9457). What a caller sent is never in it: it may be speech."""

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

from operators.errors import ConflictError, InvalidInputError, NotFoundError, OverloadedError, UnavailableError
from operators.model import format_field_path

RETRY_AFTER_S = 2
MAX_CLOSE_REASON_BYTES = 123
"""Bytes of a reason for which a WebSocket is closed."""
_SCHEMA_REF = "#/components/schemas/{model}"
"""Where the description of the API has its schemas."""
_CODE_BY_STATUS = {413: "too-large"}
"""Ends of types of problems that aren't made of HTTP's own phrase."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that is wrong: its path as the sender wrote it, and what would be accepted."""

    field: str
    detail: str


class Problem(BaseModel):
    """What is wrong, and what to do about it (RFC 9457). `type` tells problems apart; some have further members."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    """The fields that are wrong."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route answers with problems of these statuses, for the description of the API."""
    content = {"application/problem+json": {"schema": {"$ref": _SCHEMA_REF.format(model="Problem")}}}
    responses: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        responses[status] = {"description": HTTPStatus(status).phrase, "content": content}
        if status in (429, 503):
            wait = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
            responses[status]["headers"] = {"Retry-After": wait}
    return responses


def add_problems_to_openapi(app: FastAPI) -> None:
    """Complete an application's description with the problems that follow from what a route takes.

    A body may be unreadable (400) or too large (413); a body and parameters may be wrong (422, which FastAPI describes as its own
    error and not as a problem). A body that a route has no use for is too large as well.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = generate()
            for path in description["paths"].values():
                for method, operation in path.items():
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
    statuses = [
        status
        for status, applies in ((400, body), (413, method != "get"), (422, body or operation.get("parameters")))
        if applies
    ]
    added = {str(status): response for status, response in problem_responses(*statuses).items()}
    return dict(sorted((operation["responses"] | added).items()))


class BatchValidationError(Exception):
    """A request with several wrong fields, of which some parts may have been taken all the same.

    Args:
        errors: the wrong fields.
        results: what became of the rest.
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
    """A problem as a response.

    Args:
        code: the end of the problem's type; programs tell problems apart by it.
        status: the HTTP status.
        detail: what is wrong and what to do about it.
        errors: the fields that are wrong.
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
    """What pydantic found wrong, a field each, without the values.

    Args:
        prefix: the path from what the sender wrote to what was validated.
    """
    return [
        FieldError(format_field_path((*prefix, *detail["loc"])) or "body", _message(detail))
        for detail in error.errors()
    ]


def install_error_handlers(app: FastAPI) -> None:
    """Have an application answer each error of ours, of FastAPI's and of the servers behind it as a problem."""
    app.exception_handler(InvalidInputError)(_invalid)
    app.exception_handler(BatchValidationError)(_batch_invalid)
    app.exception_handler(NotFoundError)(_unknown)
    app.exception_handler(ConflictError)(_refused)
    app.exception_handler(OverloadedError)(_overloaded)
    for kind in (
        UnavailableError,
        RedisConnectionError,
        RedisTimeoutError,
        ReadOnlyError,
        MasterDownError,
        OperationalError,
        InterfaceError,
        PoolTimeoutError,
    ):
        app.exception_handler(kind)(_unavailable)
    app.exception_handler(RequestValidationError)(_validation)
    app.exception_handler(WebSocketRequestValidationError)(_invalid_socket_request)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_unexpected)


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    # Messages of our own validators may quote the value.
    return message.replace(repr(error.get("input")), "this")


async def _invalid(_: Request, error: InvalidInputError) -> JSONResponse:
    return problem_response("invalid", 422, f"{error.field} is wrong", errors=[FieldError(error.field, error.fix)])


async def _batch_invalid(_: Request, error: BatchValidationError) -> JSONResponse:
    detail = "some events are wrong; the others were taken"
    return problem_response("invalid", 422, detail, errors=error.errors, **error.results)


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    return problem_response("unknown", 404, str(error))


async def _refused(_: Request, error: ConflictError) -> JSONResponse:
    return problem_response("refused", 409, error.fix, reason=error.reason)


async def _overloaded(_: Request, error: OverloadedError) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after_s)}
    return problem_response(error.reason, 429, error.fix, headers=headers, retry_after=error.retry_after_s)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    # Messages of the servers behind us name hosts and users: they stay in the log.
    if not isinstance(error, UnavailableError):
        _log.warning("http.unavailable", error=type(error).__name__)
    match error:
        case UnavailableError():
            detail = str(error)
        case BusyLoadingError():
            detail = "a server behind this one is loading its data; try again"
        case _:
            detail = "a server behind this one can't be reached; try again"
    return problem_response("unavailable", 503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
    # Else the body is text to FastAPI, of which every field is missing.
    if all(each["loc"] == ("body",) for each in error.errors()) and not _is_json(
        request.headers.get("content-type", "")
    ):
        field_error = FieldError("content-type", "must be application/json")
        return problem_response("invalid", 422, "the body was not sent as JSON", errors=[field_error])
    errors = [
        # The first part says where in the request it was: in the body, the query or the path.
        FieldError(each.field.partition(".")[2] or each.field, each.detail)
        for each in field_errors(error)
    ]
    return problem_response("invalid", 422, "the request is not as it must be", errors=errors)


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


async def _invalid_socket_request(socket: WebSocket, error: WebSocketRequestValidationError) -> None:
    """A WebSocket is accepted before it is refused: of another one, browsers learn no reason."""
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
    _log.error("http.failed", error=type(error).__name__)
    return problem_response("failed", 500, "something went wrong here; the log says what")
