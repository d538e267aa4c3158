"""A suppressed finding of ruff or pyright names the rule and the reason: `# noqa: S311 - jitter is no secret`."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for room in ("operators", "storage", "flows", "serve", "cluster", "alembic")
    for path in (ROOT / room).rglob("*.py")
)
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*\w+)", re.IGNORECASE)
REASONED = re.compile(r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)*|pyright: ignore\[\w+(, \w+)*\]) - \S.+")


def unreasoned_suppressions(source: str) -> list[str]:
    """Return the comments that suppress a finding without the rule or a reason, each with its line."""
    return [
        f"line {token.start[0]}: {token.string}"
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and SUPPRESSION.search(token.string) and not REASONED.fullmatch(token.string)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_suppressions_have_a_rule_and_a_reason(path: Path) -> None:
    assert unreasoned_suppressions(path.read_text()) == []


@pytest.mark.parametrize(
    "comment", ["# noqa", "# noqa: S311", "# pyright: ignore - a reason", "# type: ignore", "# pyright: basic"]
)
def test_a_suppression_without_rule_or_reason_is_found(comment: str) -> None:
    assert unreasoned_suppressions(f"x = 1  {comment}\n") == [f"line 1: {comment}"]


def test_reasons_and_strings_are_accepted() -> None:
    assert unreasoned_suppressions('x = "# noqa"  # noqa: S101, PT018 - a reason\n# a comment\n') == []
