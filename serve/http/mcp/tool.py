"""A tool of the MCP endpoint: its description, and a call with arguments that are checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError

from operators.errors import ConflictError, InvalidInputError, NotFoundError, OverloadedError, UnavailableError
from operators.fields import StrictModel
from serve.http.dependencies.services import Services
from serve.http.problems import STORE_ERRORS, UNEXPECTED_DETAIL, describe_unavailability, field_errors

log = structlog.get_logger(__name__)


class ToolError(Exception):
    """A call failed. The message says why, and what the caller can change."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that assistants call.

    Attributes:
        name: the tool's name in the protocol.
        title: its name for people.
        description: what it does, for the assistant.
        arguments: the model of its arguments.
        result: the model of its result.
        run: the tool. It takes its arguments as an instance of their model.
        is_read_only: whether it changes nothing.
    """

    name: str
    title: str
    description: str
    arguments: type[StrictModel]
    result: type[BaseModel]
    run: Callable[[Services, Any], Awaitable[BaseModel]]
    is_read_only: bool = True


async def call_tool(tool: Tool, services: Services, arguments: Mapping[str, Any]) -> BaseModel:
    """Check the arguments of a call, and run the tool.

    Args:
        tool: the tool.
        services: the services of the replica.
        arguments: the arguments as the client sent them.

    Raises:
        ToolError: the arguments are invalid, or the tool failed.
    """
    try:
        return await tool.run(services, tool.arguments.model_validate(arguments))
    except Exception as error:  # noqa: BLE001 - the SDK would log the traceback, whose message may hold speech
        raise ToolError(describe_error(error)) from None


def describe_error(error: Exception) -> str:
    """Describe an error without values of the request: the field and the fix, as the problems of the API do.

    An unexpected error is logged.
    """
    match error:
        case ValidationError():
            return "; ".join(f"{each.field}: {each.detail}" for each in field_errors(error))
        case InvalidInputError() | NotFoundError():
            return str(error)
        case ConflictError() | OverloadedError():
            return error.fix
        case UnavailableError():
            return describe_unavailability(error)
        case _ if isinstance(error, STORE_ERRORS):
            return describe_unavailability(error)
        case _:
            log.error("a tool failed unexpectedly", error=type(error).__name__)
            return UNEXPECTED_DETAIL
