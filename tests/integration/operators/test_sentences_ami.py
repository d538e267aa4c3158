"""Five real meetings, replayed item for item, against the bars that Parley sets itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from operators.model import Chunk
from tests.harness.speech import log, run

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("PARLEY_AMI", ROOT.parent / "shared" / "data" / "ami"))
SCORER = ROOT.parent / "shared" / "tools" / "score_sentences.py"
MEETINGS = sorted(path.name.removesuffix(".broadcasts.jsonl") for path in DATA.glob("*.broadcasts.jsonl"))

pytestmark = pytest.mark.skipif(
    not MEETINGS or not SCORER.exists(),
    reason=f"needs the recorded meetings at {DATA} (or at PARLEY_AMI) and the scorer at {SCORER}",
)


def _chunk(payload: dict[str, object]) -> Chunk:
    return Chunk.model_validate(
        {
            "chunk_id": payload["chunk_id"],
            "speaker": payload["speaker_name"],
            "text": payload["text"],
            "start": payload["start_time"],
            "end": payload["end_time"],
        }
    )


@pytest.mark.parametrize("meeting", MEETINGS or ["none"])
def test_a_real_meeting_meets_the_bars(meeting: str, tmp_path: Path) -> None:
    broadcasts = [json.loads(line) for line in (DATA / f"{meeting}.broadcasts.jsonl").open()]
    outcome = run(log([(one["at"], _chunk(one["payload"])) for one in broadcasts]))
    rows = sorted(outcome.standing.values(), key=lambda sentence: sentence.start)
    with (stored := tmp_path / "sentences.jsonl").open("w") as file:
        for row in rows:
            fields = ("speaker", "text", "start", "end", "first_emitted", "first_text")
            file.write(json.dumps({name: getattr(row, name) for name in fields}) + "\n")
    command = [sys.executable, SCORER, DATA / f"{meeting}.reference.json", stored]
    score = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    score["asked"] = outcome.settled.total() / len(rows)
    score["put_out"] = sum(len(done.put_out) for _, done in outcome.steps) / len(rows)
    assert score["word_recall"] >= 0.999
    assert score["word_precision"] >= 0.999
    assert score["boundary_f1"] >= 0.99
    assert score["mixed_speakers"] == 0
    assert score["out_of_order"] <= 0.005
    assert score["first_p50"] <= 1.5
    assert score["first_p95"] <= 6
    assert score["first_held"] >= 0.8
    assert score["asked"] <= 1.3
    assert score["put_out"] <= 2.2
