"""`parley import` and its reports on subtitles before they are sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.commands.recording_report import MAX_LISTED_REMARKS, print_reading, summarize_reading
from cluster.recordings.reader import read_recording
from tests.harness.processes.parley_command import run_parley

BROKEN = "{}\n0:soon --> 00:00:02,000\nNot to be shown.\n\n"
CUE = "1\n00:00:01,000 --> 00:00:02,000\nAnn: Hi.\n\n"


def write_subtitles(folder: Path, content: str) -> Path:
    (path := folder / "Dr. Lee [2].srt").write_text(content)
    return path


def test_strict_rejects_a_file_before_any_request(tmp_path: Path) -> None:
    path = write_subtitles(tmp_path, CUE + BROKEN.format(2))
    done = run_parley("import", path, "--strict")
    assert done.returncode == 1
    assert f"{path}: line 6: the cue is left out: its times can't be read" in done.stderr.replace("\n", "")


def test_omissions_repairs_and_guessed_speakers_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_subtitles(tmp_path, CUE + BROKEN.format(2) + "3\n00:00:04,000 --> 00:00:03,000\nHi there.\n")
    print_reading(read_recording(path))
    assert capsys.readouterr().err.splitlines() == [
        "Dr. Lee [2]: left out: 1; repaired: 1",
        "  line 6: the cue is left out: its times can't be read; write 00:00:01.000 --> 00:00:02.500",
        "  line 10: ends before it starts: its start is used as its end",
    ]
    path = write_subtitles(tmp_path, f"{CUE}{CUE}2\n00:00:03,000 --> 00:00:04,000\nHow are you?")
    assert summarize_reading(read_recording(path)) == "speakers: guessed"
    path = write_subtitles(tmp_path, CUE)
    assert summarize_reading(read_recording(path)) == ""
    print_reading(read_recording(path))
    assert capsys.readouterr().err == ""


def test_estimated_times_and_json_paths_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path := tmp_path / "notes.txt").write_text("Weekly\nAnn: Hi.\nBob: Hi.\nAnn: So.\n")
    print_reading(read_recording(path))
    assert capsys.readouterr().err.splitlines() == [
        "notes: times: estimated; left out: 1",
        "  line 1: 1 lines above the first speaker are left out",
    ]
    sentence = {"text": "Hi.", "start_time": 1, "end_time": 2, "speaker_name": "Ann"}
    document = {"date": 1_777_885_200_000, "sentences": [sentence, sentence | {"end_time": "soon"}]}
    (path := tmp_path / "m.json").write_text(json.dumps(document))
    recording = read_recording(path)
    print_reading(recording)
    assert capsys.readouterr().err.splitlines()[1].startswith("  sentences.1.end_time: the entry is left out: ")
    assert recording.began_at == 1_777_885_200_000


def test_a_long_list_of_remarks_is_truncated_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_subtitles(tmp_path, CUE + "".join(map(BROKEN.format, range(2, MAX_LISTED_REMARKS + 5))))
    print_reading(read_recording(path))
    said = capsys.readouterr().err
    assert said.startswith(f"Dr. Lee [2]: left out: {MAX_LISTED_REMARKS + 3}\n")
    assert said.endswith("  and 3 more\n")
    assert "shown" not in said
