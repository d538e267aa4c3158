"""Every SQL statement of storage can be planned against the migrated schema: the named ones, and those with optional filters."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, TextClause
from sqlalchemy.sql.expression import Executable, SelectBase, UpdateBase
from sqlalchemy.types import NullType

from storage.postgres import dead_letter_queue, meeting_queries, webhook_deliveries

ROOT = Path(__file__).parents[3]


def storage_modules() -> list[ModuleType]:
    """Import storage's modules."""
    return [
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for path in sorted((ROOT / "storage").rglob("*.py"))
        if path.name not in ("__init__.py", "watcher_main.py")
    ]


STATEMENTS: dict[str, Executable] = {
    f"{module.__name__}.{name}": value
    for module in storage_modules()
    for name, value in vars(module).items()
    if isinstance(value, TextClause | SelectBase | UpdateBase)
}
"""The statements that are constants of storage's modules."""


def test_statements_are_found() -> None:
    assert len(STATEMENTS) > 40


# A `lock table` has no plan.
@pytest.mark.parametrize(
    "name", [name for name, statement in STATEMENTS.items() if not str(statement).startswith("lock table")]
)
def test_a_statement_can_be_planned(name: str, engine: Engine) -> None:
    assert plan(STATEMENTS[name], engine)


MEETING_ID = UUID(int=1)
COMPOSED: dict[Callable[..., Executable], list[tuple[Any, ...]]] = {
    meeting_queries._select_page: [
        ("default", None, 50, None),
        ("default", ("live", "ended"), 50, MEETING_ID),
    ],
    dead_letter_queue._select_page: [("default", None, 50, None), ("other", MEETING_ID, 50, 7)],
    dead_letter_queue._select_letter: [("default", 7), ("other", 7)],
    dead_letter_queue._set_resubmitted: [("default", 7), ("other", 7)],
    webhook_deliveries._select_page: [(None, 50, None), ("failed", 50, 7)],
}
"""Functions that make a statement whose conditions depend on the arguments, each with arguments for all its conditions."""


def test_every_function_that_makes_a_statement_is_planned() -> None:
    makers = {
        function
        for module in storage_modules()
        for function in vars(module).values()
        if isfunction(function)
        and function.__module__ == module.__name__
        and re.match(r"(Select|Insert|Update|Delete)\b", str(function.__annotations__.get("return")))
    }
    assert makers == COMPOSED.keys()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(function(*arguments), id=f"{function.__module__}.{function.__name__}{arguments}")
        for function, examples in COMPOSED.items()
        for arguments in examples
    ],
)
def test_a_composed_statement_can_be_planned(statement: Executable, engine: Engine) -> None:
    assert plan(statement, engine)


def plan(statement: Executable, engine: Engine) -> list[str]:
    """Plan a statement. A generic plan needs no values: types are Postgres' own conclusion, or those of SQLAlchemy's parameters."""
    compiled = statement.compile(engine)
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        kind = compiled.binds[name].type
        # The driver sends the type with the value, as here the cast does.
        cast = "" if isinstance(kind, NullType) else f"::{kind.compile(engine.dialect)}"
        return f"${numbers.setdefault(name, len(numbers) + 1)}{cast}"

    # The length of a list is open in SQLAlchemy's text: one item stands for it.
    sql = re.sub(r"%\((\w+)\)s|__\[POSTCOMPILE_(\w+)\]", number, str(compiled))
    with engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql(f"explain (generic_plan) {sql}")]
