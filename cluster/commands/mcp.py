"""`parley mcp`: connects an assistant that starts its MCP servers as commands."""

from __future__ import annotations

from cluster.commands.shared_options import ServerOption, find_running_server

EXAMPLES = """
Examples:

- `parley mcp`

- `parley mcp --server http://127.0.0.1:8000`
"""


def mcp(server: ServerOption = None) -> None:
    """Let an assistant read meetings and ask about them: a server of the Model Context Protocol on standard input and output.

    An assistant starts the command; see docs/mcp.md. Those that speak HTTP need no command: they use the address /mcp.
    """
    url = find_running_server(server)

    import asyncio

    from cluster.mcp_bridge import serve_stdio

    asyncio.run(serve_stdio(url))
