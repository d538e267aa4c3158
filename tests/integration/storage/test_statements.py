"""Every SQL statement of storage can be planned against the migrated schema: the named ones, and those with optional filters."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, TextClause
from sqlalchemy.sql.expression import Executable, SelectBase, UpdateBase
from sqlalchemy.types import NullType

ROOT = Path(__file__).parents[3]


def named_statements() -> dict[str, Executable]:
    """Find the statements that are constants of storage's modules."""
    found: dict[str, Executable] = {}
    for path in sorted((ROOT / "storage").rglob("*.py")):
        if path.name in ("__init__.py", "watcher_main.py"):
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        found |= {
            f"{path.stem}.{name}": value
            for name, value in vars(module).items()
            if isinstance(value, TextClause | SelectBase | UpdateBase)
        }
    return found


STATEMENTS = named_statements()


def test_statements_are_found() -> None:
    assert len(STATEMENTS) > 40


# A `lock table` has no plan.
@pytest.mark.parametrize(
    "name", [name for name, statement in STATEMENTS.items() if not str(statement).startswith("lock table")]
)
def test_a_statement_can_be_planned(name: str, engine: Engine) -> None:
    assert plan(STATEMENTS[name], engine)


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
