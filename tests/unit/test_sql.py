"""SQL is in storage and the migrations only. In storage, a statement is a named constant, or a function's result."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHER_ROOMS = [
    path for room in ("operators", "flows", "serve", "cluster") for path in sorted((ROOT / room).rglob("*.py"))
]
STORAGE = sorted((ROOT / "storage").rglob("*.py"))
CONNECTION_NAMES = {
    "sqlalchemy": {"Connection", "Engine", "make_url"},
    "sqlalchemy.ext.asyncio": {"AsyncConnection", "AsyncEngine"},
}
"""Names that other rooms may import from SQLAlchemy, besides its errors: they hand connections to storage's functions."""
STATEMENT = re.compile(r"(Select|Insert|Update|Delete)\b")
LITERALS_ALLOWED = {
    "storage/migrations/compatibility.py": "reads the catalog of a database whose schema may be foreign",
    "storage/embedded_servers/postgres_valkey.py": "sets up a server that has no schema yet",
}
"""Modules that may execute SQL in place, each with the reason."""


def statement_imports(tree: ast.Module) -> Iterator[str]:
    """Return what a module outside storage imports from SQLAlchemy to make statements."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] == "sqlalchemy")
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "sqlalchemy":
                allowed = CONNECTION_NAMES.get(module, set())
                if module != "sqlalchemy.exc":
                    yield from (f"{module}.{alias.name}" for alias in names if alias.name not in allowed)


def is_text(node: ast.expr) -> bool:
    """Whether an expression is a literal string, or `text(…)`."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, right=right):
            return is_text(left) or is_text(right)
        case ast.Call(func=ast.Name(id="text")):
            return True
        case _:
            return False


def executed_literals(tree: ast.Module) -> list[str]:
    """Return the calls that execute SQL which is written where it is executed."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "exec_driver_sql"
            or (node.func.attr in ("execute", "scalar", "scalars") and node.args and is_text(node.args[0]))
        )
    ]


def unnamed_statements(tree: ast.Module) -> list[str]:
    """Return the statements that are made in a function, with their lines.

    A function that returns a statement is no such case: tests/integration/storage/test_statements.py plans what it makes.
    """
    makers = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sqlalchemy")
        for alias in node.names
        if alias.name in ("text", "select", "insert", "update", "delete")
    }
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        and not (isinstance(node, ast.FunctionDef) and node.returns and STATEMENT.match(ast.unparse(node.returns)))
    ]
    return sorted(
        {
            f"line {node.lineno}: {ast.unparse(node)}"
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers
        }
    )


@pytest.mark.parametrize("path", OTHER_ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_other_rooms_make_no_statements(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert list(statement_imports(tree)) == []
    assert executed_literals(tree) == []


@pytest.mark.parametrize("path", STORAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_storage_names_its_statements(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert unnamed_statements(tree) == []
    assert bool(executed_literals(tree)) == (str(path.relative_to(ROOT)) in LITERALS_ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select",
        "from sqlalchemy.dialects.postgresql import insert",
        "import sqlalchemy as sa",
        "def f():\n    from sqlalchemy.sql import text",
    ],
)
def test_a_statement_outside_storage_is_found(source: str) -> None:
    assert list(statement_imports(ast.parse(source)))


@pytest.mark.parametrize(
    "argument", ['"select 1"', 'f"select {n}"', '"select "\n + name', 'text(\n    "select 1")', "text(sql)"]
)
def test_executed_text_is_found(argument: str) -> None:
    assert executed_literals(ast.parse(f"async def f():\n    await conn.execute({argument})"))


def test_a_statement_that_is_no_constant_is_found_whatever_its_layout() -> None:
    source = """
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
_A = text('select 1')
def _select_page(limit) -> Select[int]:
    return insert(table)
async def f():
    insert(table)
    return text(
        'select 2'
    )
"""
    assert unnamed_statements(ast.parse(source)) == ["line 8: insert(table)", "line 9: text('select 2')"]
