"""Realistic transcripts with their expected sentences: the project's, and external ones next to the checkout, if present."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from operators.entries import Chunk
from operators.meeting_config import MeetingConfig
from tests.harness.data.regression_cases import EXTERNAL_TRANSCRIPTS, PROJECT_TRANSCRIPTS
from tests.harness.lane.operator_runs import make_chunk, make_items, run_operators

FOLDERS = (PROJECT_TRANSCRIPTS, EXTERNAL_TRANSCRIPTS)


def _cases() -> Iterator[Any]:
    for path in (path for folder in FOLDERS for path in sorted(folder.glob("*.json"))):
        content = json.loads(path.read_text(encoding="utf-8"))
        for number, case in enumerate(content if isinstance(content, list) else [content]):
            # The other files are for other tests.
            if "events" in case or "language" in case or "config" in case:
                yield pytest.param(case, id=f"{path.parent.parent.name}/{path.stem}-{number}")


@pytest.mark.parametrize("case", _cases())
def test_transcript_has_the_expected_sentences(case: dict[str, Any]) -> None:
    config = MeetingConfig.model_validate(case.get("config", {}))
    if "events" in case:
        said = [Chunk.model_validate(event["payload"]) for event in case["events"]]
    else:
        said = [make_chunk("1", case["text"]).model_copy(update={"language": case.get("language")})]
    outcome = run_operators(make_items([(max(i, one.end), one) for i, one in enumerate(said)], config=config))
    standing = sorted(outcome.current_sentences.values(), key=lambda sentence: (sentence.start, sentence.end))
    assert [sentence.text for sentence in standing] == case.get("want", [case.get("text")])


def test_unspaced_speech_is_split_at_its_spaces() -> None:
    text = (FOLDERS[0] / "t24_thai_spaces.txt").read_text(encoding="utf-8").strip()
    said = make_chunk("1", text, end=60).model_copy(update={"language": "th"})
    outcome = run_operators(make_items([(60.0, said)]))
    pieces = outcome.texts()
    assert len(pieces) > 1
    assert " ".join(pieces) == text
    assert max(map(len, pieces)) < 100
