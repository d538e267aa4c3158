"""Only the endpoint's server imports the MCP SDK, which takes long: no other process, and no replica before a request."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[4]
MODULES = [path for room in ("serve", "cluster") for path in sorted((ROOT / room).rglob("*.py"))]
SLOW = ("mcp", "serve.http.mcp.server", "cluster.mcp_bridge")
IMPORTERS = {"serve/http/mcp/server.py", "cluster/mcp_bridge.py"}


def imported_at_start(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports when it is imported."""
    return {
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        )
    }


def test_other_modules_are_imported_without_the_sdk() -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        for name in imported_at_start(ast.parse(path.read_text()))
        if name.startswith("mcp.") or name in SLOW
    }
    assert importers == IMPORTERS
