"""A server of the Model Context Protocol (MCP) on standard input and output, which forwards each request to a running system.

The SDK's client isn't used: it ends if the system can't be reached for a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import httpx
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParams,
    Result,
)
from mcp_types.version import LATEST_HANDSHAKE_VERSION

from cluster.api_client import REQUEST_TIMEOUT_S, is_loopback
from operators.errors import UnavailableError

READ_TIMEOUT_S = 180.0
"""Timeout of a response, in seconds: longer than the endpoint waits for an answer to a question."""
_METHODS: dict[str, tuple[type[RequestParams], type[Result]]] = {
    "tools/list": (PaginatedRequestParams, ListToolsResult),
    "tools/call": (CallToolRequestParams, CallToolResult),
    "resources/list": (PaginatedRequestParams, ListResourcesResult),
    "resources/templates/list": (PaginatedRequestParams, ListResourceTemplatesResult),
    "resources/read": (ReadResourceRequestParams, ReadResourceResult),
}
"""The methods that the endpoint has, each with the models of its parameters and its result."""
_HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": LATEST_HANDSHAKE_VERSION}
_INITIALIZE = {
    "protocolVersion": LATEST_HANDSHAKE_VERSION,
    "capabilities": {},
    "clientInfo": {"name": "parley mcp", "version": version("parley")},
}


async def serve_stdio(url: str) -> None:
    """Answer the requests on standard input until it ends, by the system's endpoint `/mcp`.

    Args:
        url: the system's URL, without a trailing slash.

    Raises:
        UnavailableError: the system has no such endpoint, or can't be reached.
    """
    # The SDK's messages may quote results, which may be transcript text.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    timeout = httpx.Timeout(REQUEST_TIMEOUT_S, read=READ_TIMEOUT_S)
    async with httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=not is_loopback(url)) as http:

        async def forward(context: ServerRequestContext, _: object) -> Result:
            # The assistant's version of the protocol may be another one than the endpoint's. The models fit both.
            result = await _request(http, context.method, context.params or {})
            return _METHODS[context.method][1].model_validate(result)

        try:
            description = await _request(http, "initialize", _INITIALIZE)
        except MCPError as error:
            raise UnavailableError(f"the MCP endpoint can't be used: {error.message}") from None
        server = Server(
            "parley", version=version("parley"), title="Parley", instructions=description.get("instructions")
        )
        for method, (parameters, _) in _METHODS.items():
            server.add_request_handler(method, parameters, forward)
        async with stdio_server() as (requests, responses):
            await server.run(requests, responses, server.create_initialization_options())


async def _request(http: httpx.AsyncClient, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Send a request of the protocol to the endpoint, and return its result.

    Raises:
        MCPError: the endpoint answered with an error, or can't be reached.
    """
    # The metadata concern the connection with the assistant.
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {name: value for name, value in parameters.items() if name != "_meta"},
    }
    try:
        response = await http.post("/mcp", json=message, headers=_HEADERS)
        body = response.json()
    except httpx.TransportError as error:
        raise MCPError(INTERNAL_ERROR, f"Parley can't be reached ({type(error).__name__}); try again later") from None
    except ValueError:
        raise MCPError(INTERNAL_ERROR, "the response is not Parley's; check the URL") from None
    if "error" in body:
        raise MCPError(body["error"]["code"], body["error"]["message"], body["error"].get("data"))
    if "result" not in body:
        # A problem of the API.
        raise MCPError(INTERNAL_ERROR, str(body.get("detail", "the response is not Parley's; check the URL")))
    return body["result"]
