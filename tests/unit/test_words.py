"""Code, docs, page and tests use the field's terms: a list of words that Parley once had of its own, and no longer uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPLACED = {
    r"owe[sd]?|owing": "pending",
    r"doubt(s|ed|ful)?": "warnings",
    r"steward": "maintenance actor",
    r"put(s|ting)? out": "emit",
    r"the door": "`append`, the ingest API",
    r"growing text": "interim text",
    r"work(s|ed|ing)? off": "process",
    r"let(s)? go of": "release",
    r"held back|hold(s)? back": "backpressure",
    r"whoever|somebody|how manyth": "a noun",
    r"of (one's|its|our) own kind": "self-hosted, embedded",
    r"elsewhere": "remote",
    r"tells? of|told of": "notifies, reports",
    r"models config": "EnginesConfig",
    r"flaws?": "defect",
    r"voice state": "speaker_state",
    r"parley lane waiting": "parley_lane_pending_calls",
    r"retired?": "draining",
}
"""Patterns of words, each with the term to use. An identifier is matched as its words, separated by spaces."""
ALLOWED = {
    "CONTRIBUTING.md": {"whoever": "the rule itself"},
    "docs/insight.md": {"somebody": "an example of a user's question"},
    "tests/unit/serve/insight/test_insight_prompts.py": {"somebody": "the same question"},
    "tests/unit/operators/test_dedup.py": {"Somebody": "speech"},
    "tests/unit/serve/translation/llm/test_wrappers.py": {"the door": "speech"},
    "tests/integration/storage/migrations/test_schema_migration.py": dict.fromkeys(
        ("owed", "doubt", "doubts"), "columns and values of older schemas"
    ),
}
"""Words that a file may use, each with the reason."""
SUFFIXES = {".py", ".md", ".js", ".html", ".css", ".yaml", ".toml", ".json"}
FOLDERS = ("operators", "storage", "flows", "serve", "cluster", "docs", "examples", "tests")
SKIPPED = {
    ROOT / "tests" / "cases": "speech of many languages",
    Path(__file__): "the rule itself",
}
"""Folders and files that aren't searched, each with the reason. Migrations aren't either: they name older schemas."""
FILES = sorted(
    path
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".ci/run")),
        *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES),
    ]
    if SKIPPED.keys().isdisjoint({path, *path.parents})
)
WORD_BORDER = re.compile(r"_|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Separates the words of a snake_case or CamelCase identifier."""


def replaced_words(text: str) -> list[tuple[int, str, str]]:
    """Find the words, each as its line, the word and the term to use."""
    spaced = WORD_BORDER.sub(" ", text)
    return [
        (spaced.count("\n", 0, match.start()) + 1, match[0], term)
        for pattern, term in REPLACED.items()
        for match in re.finditer(rf"\b({pattern})\b", spaced, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_uses_the_fields_terms(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    assert replaced_words(name) == []
    found = replaced_words(path.read_text())
    allowed = ALLOWED.get(name, {})
    assert [f"line {line}: {word!r}: say {term}" for line, word, term in found if word not in allowed] == []
    assert allowed.keys() <= {word for _, word, _ in found}, "an exception that is no longer needed"


def test_every_exception_is_for_a_file_that_is_searched() -> None:
    assert ALLOWED.keys() <= {str(path.relative_to(ROOT)) for path in FILES}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A caption\nis owed.", (2, "owed", "pending")),
        ("owed_captions", (1, "owed", "pending")),
        ("\n_put_out", (2, "put out", "emit")),
        ("class ModelsConfig:", (1, "Models Config", "EnginesConfig")),
        ("HTTPSteward", (1, "Steward", "maintenance actor")),
        ("MAX_RETIRED_LANES", (1, "RETIRED", "draining")),
    ],
)
def test_a_replaced_word_is_found_in_prose_and_identifiers(text: str, found: tuple[int, str, str]) -> None:
    assert replaced_words(text) == [found]


@pytest.mark.parametrize("text", ["followed", "shoulder_of", "input_output", "untold_offer"])
def test_a_part_of_another_word_is_not_found(text: str) -> None:
    assert replaced_words(text) == []
