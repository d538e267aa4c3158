"""The real meetings that some tests replay if available: AMI Meeting Corpus, CC BY 4.0, not part of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.data.source_conversation import Turn

AMI_FOLDER = Path(os.environ.get("PARLEY_AMI", Path(__file__).parents[3].parent / "shared" / "data" / "ami"))
SCORER = AMI_FOLDER.parent.parent / "tools" / "score_sentences.py"
AMI_RECORDINGS = sorted(AMI_FOLDER.glob("*.broadcasts.jsonl"))
LONG_MEETINGS = ("EN2003a", "IB4002", "IS1004a", "TS3004a")
"""All but ES2008a, which `make test` replays."""
MEETING_NAMES = [path.name.split(".", 1)[0] for path in AMI_RECORDINGS]

PAUSE_S = 0.5
"""Seconds between two turns of a meeting whose speech overlaps."""

needs_ami = pytest.mark.skipif(
    not AMI_RECORDINGS, reason=f"the AMI recordings are not at {AMI_FOLDER} (set PARLEY_AMI)"
)


def recording_param(value: Path | str) -> Any:
    """Make a test parameter of a recording or its name. Long recordings are marked slow, for `make test-all`."""
    name = Path(value).name.split(".", 1)[0]
    return pytest.param(value, id=name, marks=[pytest.mark.slow] if name in LONG_MEETINGS else [])


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_turns(name: str) -> list[Turn]:
    """Read the turns of a meeting, one speaker at a time.

    Speech that overlaps is moved behind the speech before it: not every source can carry it.

    Args:
        name: the meeting's name.
    """
    chunks: dict[str, dict[str, Any]] = {}
    for row in read_jsonl(AMI_FOLDER / f"{name}.broadcasts.jsonl"):
        chunks[row["payload"]["chunk_id"]] = row["payload"]
    in_order = sorted(chunks.values(), key=lambda chunk: chunk["start_time"])
    turns = [
        Turn(chunk["speaker_name"], chunk["start_time"], chunk["text"], chunk["end_time"] - chunk["start_time"])
        for chunk in in_order
    ]
    for index, turn in enumerate(turns[1:], 1):
        turns[index] = turn._replace(start=round(max(turn.start, turns[index - 1].end + PAUSE_S), 3))
    return turns


def score_sentences(name: str, sentences: Path) -> dict[str, float]:
    """Score a file of stored sentences against the reference of a meeting."""
    completed = subprocess.run(
        [sys.executable, SCORER, AMI_FOLDER / f"{name}.reference.json", sentences],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(completed.stdout)
