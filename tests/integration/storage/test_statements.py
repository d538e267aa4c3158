"""Every named SQL statement of storage can be planned against the migrated schema."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, TextClause

ROOT = Path(__file__).parents[3]


def named_statements() -> dict[str, TextClause]:
    """Find the statements that are constants of storage's modules."""
    found: dict[str, TextClause] = {}
    for path in sorted((ROOT / "storage").rglob("*.py")):
        if path.name in ("__init__.py", "watcher_main.py"):
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        found |= {f"{path.stem}.{name}": value for name, value in vars(module).items() if isinstance(value, TextClause)}
    return found


STATEMENTS = named_statements()


def test_statements_are_found() -> None:
    assert len(STATEMENTS) > 40


# A `lock table` has no plan.
@pytest.mark.parametrize(
    "name", [name for name, clause in STATEMENTS.items() if not clause.text.startswith("lock table")]
)
def test_a_statement_can_be_planned(name: str, engine: Engine) -> None:
    numbers: dict[str, int] = {}
    # A generic plan needs no values, so that the parameters' types are Postgres' own conclusion, as in production.
    sql = re.sub(
        r"(?<![:\w]):(\w+)", lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", STATEMENTS[name].text
    )
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"explain (generic_plan) {sql.replace('%', '%%')}").all()
    assert plan
