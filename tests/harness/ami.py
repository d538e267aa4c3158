"""The real meetings that some tests replay, where they are at hand: AMI Meeting Corpus, CC BY 4.0, not part of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("PARLEY_AMI", Path(__file__).parents[2].parent / "shared" / "data" / "ami"))
SCORER = FOLDER.parent.parent / "tools" / "score_sentences.py"
RECORDINGS = sorted(FOLDER.glob("*.broadcasts.jsonl"))
LONG = ("EN2003a", "IB4002", "TS3004a")
NAMES = [path.name.split(".", 1)[0] for path in RECORDINGS]

needs_ami = pytest.mark.skipif(not RECORDINGS, reason=f"the AMI recordings are not at {FOLDER} (set PARLEY_AMI)")


def parameter(value: Path | str) -> Any:
    """A recording, or its name, as a test's parameter. The long ones are left to `make test-all`."""
    name = Path(value).name.split(".", 1)[0]
    return pytest.param(value, id=name, marks=[pytest.mark.slow] if name in LONG else [])


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def score(name: str, sentences: Path) -> dict[str, float]:
    """What the scorer says of stored sentences."""
    done = subprocess.run(
        [sys.executable, SCORER, FOLDER / f"{name}.reference.json", sentences],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
