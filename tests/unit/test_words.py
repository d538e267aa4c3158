"""Code, docs and page use the field's terms: a list of words that Parley once had of its own, and no longer uses."""

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
    r"ModelsConfig": "EnginesConfig",
    r"flaws?": "defect",
    r"voice_state": "speaker_state",
    r"parley_lane_waiting": "parley_lane_pending_calls",
    r"retired?": "draining",
}
"""Patterns of words, each with the term to use."""
ALLOWED = {
    # Sentences that the models read, or that tests compare with what they say.
    "serve/translation/llm/prompts.py",
    "serve/translation/llm/refusals.py",
    "serve/translation/llm/labels.py",
    "docs/insight.md",
    # The rule itself.
    "CONTRIBUTING.md",
}
SUFFIXES = {".py", ".md", ".js", ".html", ".css", ".yaml"}
FOLDERS = ("operators", "storage", "flows", "serve", "cluster", "docs")
FILES = sorted(
    path
    for path in [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.suffix in SUFFIXES and str(path.relative_to(ROOT)) not in ALLOWED
)


def replaced_words(text: str) -> list[str]:
    """Find the words, each with its line and the term to use."""
    found: list[str] = []
    for pattern, term in REPLACED.items():
        for match in re.finditer(rf"\b({pattern})\b", text, re.IGNORECASE):
            line = len(text[: match.start()].splitlines())
            found.append(f"line {line}: {match[0]!r}: say {term}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_uses_the_fields_terms(path: Path) -> None:
    assert replaced_words(path.read_text()) == []


def test_a_replaced_word_is_found_with_its_line() -> None:
    assert replaced_words("A caption\nis owed.") == ["line 2: 'owed': say pending"]
