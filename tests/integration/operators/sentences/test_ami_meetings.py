"""Five real meetings, replayed item by item, must meet Parley's quality thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operators.entries import Chunk
from tests.harness.data.ami_corpus import AMI_FOLDER, MEETING_NAMES, SCORER, needs_ami, recording_param, score_sentences
from tests.harness.lane.operator_runs import make_items, run_operators

pytestmark = [
    needs_ami,
    pytest.mark.skipif(not SCORER.exists(), reason=f"needs the scorer at {SCORER}"),
]


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


@pytest.mark.parametrize("meeting", map(recording_param, MEETING_NAMES or ["none"]))
def test_real_meeting_meets_quality_thresholds(meeting: str, tmp_path: Path) -> None:
    broadcasts = [json.loads(line) for line in (AMI_FOLDER / f"{meeting}.broadcasts.jsonl").open()]
    outcome = run_operators(make_items([(one["at"], _chunk(one["payload"])) for one in broadcasts]))
    rows = sorted(outcome.current_sentences.values(), key=lambda sentence: sentence.start)
    with (stored := tmp_path / "sentences.jsonl").open("w") as file:
        for row in rows:
            fields = ("speaker", "text", "start", "end", "first_emitted", "first_text")
            file.write(json.dumps({name: getattr(row, name) for name in fields}) + "\n")
    scores = score_sentences(meeting, stored)
    scores["asked"] = outcome.final_counts.total() / len(rows)
    scores["emitted_per_sentence"] = sum(len(done.emitted) for _, done in outcome.steps) / len(rows)
    assert scores["word_recall"] >= 0.999
    assert scores["word_precision"] >= 0.999
    assert scores["boundary_f1"] >= 0.99
    assert scores["mixed_speakers"] == 0
    assert scores["out_of_order"] <= 0.005
    assert scores["first_p50"] <= 1.5
    assert scores["first_p95"] <= 6
    assert scores["first_held"] >= 0.8
    assert scores["asked"] <= 1.3
    assert scores["emitted_per_sentence"] <= 2.2
