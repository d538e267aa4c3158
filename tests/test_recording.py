"""Recordings are read whole, or refused with the place and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.recording import read_recording
from operators.errors import Invalid

PAYLOAD = {"chunk_id": "1", "text": "Hello.", "speaker_name": "Ann", "start_time": 0.5, "end_time": 1.0}


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_a_recording_is_read(tmp_path: Path) -> None:
    second = PAYLOAD | {"chunk_id": 2, "more": True}
    path = write(tmp_path / "m.broadcasts.jsonl", {"at": 1.2, "payload": PAYLOAD}, {"at": 1.2, "payload": second})
    recording = read_recording(path)
    assert recording.name == "m"
    assert [(e.at, e.chunk.chunk_id, e.chunk.speaker) for e in recording.events] == [
        (1.2, "1", "Ann"),
        (1.2, "2", "Ann"),
    ]
    assert recording.began_at == int(path.stat().st_mtime * 1000)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": None}, "payload.text"),
        ({"text": " "}, "text"),
        ({"text": "x" * 20_001}, "text"),
        ({"end_time": 0.1}, "end"),
        ({"start_time": -1.0}, "start"),
        ({"start_time": "soon"}, "payload.start_time"),
    ],
)
def test_a_wrong_line_is_named_with_its_field(tmp_path: Path, change: dict[str, object], field: str) -> None:
    path = write(tmp_path / "m.jsonl", {"at": 1, "payload": PAYLOAD}, {"at": 2, "payload": PAYLOAD | change})
    with pytest.raises(Invalid) as caught:
        read_recording(path)
    assert caught.value.field == f"{path}:2: {field}"
    assert "x" * 50 not in str(caught.value)


def test_a_line_that_is_no_json_an_empty_file_and_a_backward_clock_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{")
    with pytest.raises(Invalid, match=r"broken.jsonl:1: must be a JSON object"):
        read_recording(broken)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(Invalid, match="holds no event"):
        read_recording(empty)
    with pytest.raises(Invalid, match="must not run backwards"):
        read_recording(write(tmp_path / "b.jsonl", {"at": 2, "payload": PAYLOAD}, {"at": 1, "payload": PAYLOAD}))
    with pytest.raises(Invalid, match="can't be read"):
        read_recording(tmp_path / "absent.jsonl")
