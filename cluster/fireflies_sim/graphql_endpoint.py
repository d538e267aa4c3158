"""The HTTP endpoint of the GraphQL API: key, limit, query, answer."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    execute_sync,
    parse,
    validate,
)

from cluster.fireflies_sim.bearer_token import is_authorized
from cluster.fireflies_sim.graphql_schema import service_schema
from cluster.fireflies_sim.request_limits import REQUEST_LIMITS, PlanName, SlidingWindow
from cluster.fireflies_sim.service_errors import ServiceError, auth_failed, format_error, http_status, too_many_requests

PATH = "/graphql"


@dataclass(frozen=True, slots=True)
class GraphqlRequest:
    """A request that the API answered.

    Attributes:
        fields: the queries and mutations that it named.
        variables: its variables.
        status: HTTP status of the answer.
    """

    fields: tuple[str, ...]
    variables: Mapping[str, Any]
    status: int


class GraphqlEndpoint:
    """Answers GraphQL over HTTP.

    Args:
        api_key: the key that requests must have.
        plan: the plan that limits them.
        root: the resolvers of the queries and mutations.
        on_request: called with each request, when it is answered.
    """

    def __init__(
        self, api_key: str, plan: PlanName, root: dict[str, Any], on_request: Callable[[GraphqlRequest], None]
    ) -> None:
        self._api_key = api_key
        self._root = root
        self._window = SlidingWindow(REQUEST_LIMITS[plan])
        self._on_request = on_request

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter()
        router.add_api_route(PATH, self._answer, methods=["POST"], response_model=None)
        return router

    async def _answer(self, request: Request) -> JSONResponse:
        if not is_authorized(request.headers.get("authorization"), self._api_key):
            return self._fail(auth_failed(), 401)
        if retry_after_s := self._window.admit(time.monotonic()):
            error = too_many_requests(retry_after_s, time.time_ns() // 1_000_000)
            return self._fail(error, 429)
        try:
            body: Any = json.loads(await request.body())
        except ValueError:
            body = None
        query = body.get("query") if isinstance(body, dict) else None
        if not isinstance(query, str):
            return self._fail(GraphQLError("The body must be a JSON object with the text of a query in `query`"), 400)
        variables = body.get("variables") or {}
        if not isinstance(variables, dict):
            return self._fail(GraphQLError("`variables` must be a JSON object"), 400)
        return self._execute(query, variables, body.get("operationName"))

    def _execute(self, query: str, variables: dict[str, Any], operation_name: str | None) -> JSONResponse:
        schema = service_schema()
        try:
            document = parse(query)
        except GraphQLSyntaxError as error:
            return self._fail(error, 400, (), variables)
        fields = _root_fields(document)
        if set(fields) - set(self._root) - {"__schema", "__type", "__typename"}:
            return self._fail(GraphQLError("Unknown query"), 400, fields, variables)
        if errors := validate(schema, document):
            return self._fail(errors[0], 400, fields, variables)
        result = execute_sync(
            schema, document, root_value=self._root, variable_values=variables, operation_name=operation_name
        )
        for error in result.errors or []:
            if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
                raise error.original_error  # A defect of the stand-in.
        status = http_status(result.errors or [])
        if result.data is None and status == 200 and not _is_service_error(result.errors or []):
            status = 400  # The variables don't fit the query.
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [format_error(error) for error in result.errors]
        return self._respond(answer, status, fields, variables, result.errors or [])

    def _fail(
        self,
        error: GraphQLError,
        status: int,
        fields: tuple[str, ...] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> JSONResponse:
        return self._respond({"errors": [format_error(error)]}, status, fields, variables or {}, [error])

    def _respond(
        self,
        answer: dict[str, Any],
        status: int,
        fields: tuple[str, ...],
        variables: Mapping[str, Any],
        errors: list[GraphQLError],
    ) -> JSONResponse:
        self._on_request(GraphqlRequest(fields, variables, status))
        headers = {"Retry-After": str(_retry_after_s(errors))} if status == 429 else None
        return JSONResponse(answer, status, headers)


def _root_fields(document: DocumentNode) -> tuple[str, ...]:
    """Return the queries and mutations that a document names directly."""
    return tuple(
        selection.name.value
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        for selection in definition.selection_set.selections
        if isinstance(selection, FieldNode)
    )


def _is_service_error(errors: list[GraphQLError]) -> bool:
    return any(isinstance(error.original_error or error, ServiceError) for error in errors)


def _retry_after_s(errors: list[GraphQLError]) -> int:
    """Return the whole seconds until the limit admits a request."""
    retry_at_ms = max(
        ((error.extensions or {})["metadata"]["retryAfter"] for error in errors if _limited(error)), default=0
    )
    return max(1, math.ceil(retry_at_ms / 1000 - time.time()))


def _limited(error: GraphQLError) -> bool:
    return (error.extensions or {}).get("code") == "too_many_requests"
