"""The endpoint `/mcp`: the Model Context Protocol (MCP), by which assistants list, search and read meetings, and ask questions.

`endpoint` is the ASGI application, and `server` builds the SDK's server for it. A `*_tools` module has the tools of one subject,
with their arguments and results, and `meeting_resources` the transcripts as files. `tool` checks the arguments of each call.

The SDK takes longer to import than the rest of a route. Only `server` imports it, at the first request.
"""

from serve.http.mcp.endpoint import McpEndpoint

__all__ = ["McpEndpoint"]
