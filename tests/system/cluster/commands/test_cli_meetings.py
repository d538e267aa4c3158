"""`parley meetings` and `parley import` with a running system."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.api_client import ApiClient
from cluster.diagnostics import machine_checks
from cluster.recordings.player import ReplayOptions, await_captions, open_meeting_for
from cluster.recordings.reader import read_recording
from operators.meeting_config import Clock
from tests.harness.processes.parley_command import run_parley
from tests.harness.processes.parley_up import ROOT, ParleyUp, parley_arguments

VTT = """WEBVTT

00:00:01.000 --> 00:00:03.000
<v Ann>The budget for this year is too small.

00:00:03.500 --> 00:00:05.000
<v Bob>We need more time.
"""
NOBODY = "01890000-0000-7000-8000-000000000000"

pytest_plugins = ["tests.harness.processes.shared_parley_up"]
pytestmark = [pytest.mark.main_path, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def subtitles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("import") / "talk.vtt"
    path.write_text(VTT)
    return path


def run_here(
    up: ParleyUp, *arguments: object, folder: Path = ROOT, columns: int = 160
) -> subprocess.CompletedProcess[str]:
    """Run a command that finds the system by the port of the settings."""
    return run_parley(*arguments, folder=folder, PARLEY_PORT=str(up.port), COLUMNS=str(columns))


def create_meeting(up: ParleyUp, title: str, targets: tuple[str, ...] = ()) -> str:
    body = {"title": title, "config": {"source_language": "en", "target_languages": targets}}
    answer = up.post("/api/meetings", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def imported(up: ParleyUp, subtitles: Path) -> str:
    """The id of a meeting imported from subtitles."""
    done = run_here(up, "import", subtitles)
    assert done.returncode == 0, done.stderr
    name, meeting_id, page = done.stdout.split()
    assert (name, page) == ("talk:", f"{up.url}/meetings/{meeting_id}")
    assert "talk: sentences: 2; captions: 2 translated" in done.stderr
    return meeting_id


def test_an_import_becomes_a_meeting_with_its_captions(up: ParleyUp, imported: str) -> None:
    meeting = up.get(f"/api/meetings/{imported}")
    assert (meeting["title"], meeting["clock"], meeting["status"]) == ("talk", "recorded", "ended")
    sentences = up.get(f"/api/meetings/{imported}/sentences")["sentences"]
    assert [(s["speaker"], s["text"]) for s in sentences] == [
        ("Ann", "The budget for this year is too small."),
        ("Bob", "We need more time."),
    ]
    captions = up.get(f"/api/meetings/{imported}/captions?language=pt")["captions"]
    assert [c["status"] for c in captions] == ["translated", "translated"]


def test_a_repeated_import_adds_nothing(up: ParleyUp, imported: str, subtitles: Path) -> None:
    before = up.get("/api/meetings?limit=200")["meetings"]
    done = run_here(up, "import", subtitles)
    assert done.returncode == 0, done.stderr
    assert f"talk: {imported} {up.url}/meetings/{imported} (imported before: nothing is added)" in done.stdout
    assert up.get("/api/meetings?limit=200")["meetings"] == before


def test_an_interrupted_import_is_resumed(up: ParleyUp, tmp_path: Path) -> None:
    lines = [
        {
            "at": 1.0 + k,
            "payload": {
                "chunk_id": k,
                "text": f"This is sentence {k}.",
                "speaker_name": "Ann",
                "start_time": k,
                "end_time": k + 0.9,
            },
        }
        for k in range(3)
    ]
    path = tmp_path / "cut.broadcasts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    first = run_here(up, "import", path, "--targets", "pt", "--language", "en", "--no-wait", "--title", "Cut off")
    assert first.returncode == 0, first.stderr
    meeting_id = first.stdout.split()[1]
    assert up.get(f"/api/meetings/{meeting_id}")["title"] == "Cut off"
    again = run_here(up, "import", path, "--targets", "pt", "--language", "en")
    assert again.returncode == 0, again.stderr
    assert meeting_id in again.stdout
    assert "cut: sentences: 3; captions: 3 translated" in again.stderr


def test_an_import_into_an_ended_meeting_reports_missing_events(up: ParleyUp, tmp_path: Path) -> None:
    path = tmp_path / "half.broadcasts.jsonl"
    lines = [
        {
            "at": 1.0 + k,
            "payload": {
                "chunk_id": k,
                "text": f"This is sentence {k}.",
                "speaker_name": "Ann",
                "start_time": k,
                "end_time": k + 0.9,
            },
        }
        for k in range(3)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    asyncio.run(send_half(up, path))
    done = run_here(up, "import", path, "--targets", "pt", "--language", "en")
    assert done.returncode == 1
    assert "(ended before: 2 of its events are missing)" in done.stdout
    assert "half: sentences: 1; captions: 1 translated" in done.stderr
    assert "2 events were refused" in done.stderr


async def send_half(up: ParleyUp, path: Path) -> None:
    """Send the first event of a recording to its meeting like an import, and then end the meeting."""
    recording = read_recording(path)
    options = ReplayOptions(None, Clock.RECORDED, "en", ("pt",))
    async with ApiClient(up.url) as client:
        meeting = await open_meeting_for(client, recording, options)
        chunk = recording.events[0].chunk.model_dump(mode="json", exclude_none=True)
        event = {"event_id": "line-1", "at": recording.began_at + 1000, "payload": chunk}
        assert (await client.send(meeting["id"], [event])).accepted == 1
        await client.end_meeting(meeting["id"], None)
        await await_captions(client, meeting["id"], lambda _: None)


def test_each_file_becomes_a_meeting_and_missing_translations_are_reported(up: ParleyUp, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.srt").write_text(f"1\n00:00:01,000 --> 00:00:02,000\nThis is file {name} for you.\n")
    done = run_here(up, "import", tmp_path / "one.srt", tmp_path / "two.srt", "--targets", "ja", "--language", "en")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["one", "two"]
    reason = "sentences without caption: 1: 1 × no model translates en to ja"
    for name in ("one", "two"):
        assert f"{name}: sentences: 1; captions: 1 untranslated; {reason}" in done.stderr


def test_meetings_are_listed_newest_first(up: ParleyUp, imported: str) -> None:
    newest = create_meeting(up, "Friday [review]", ("pt", "es"))
    listed = run_here(up, "meetings", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = [line for line in listed.stdout.splitlines() if newest in line or imported in line]
    assert newest in rows[0]
    assert re.search("created|live", rows[0])
    assert all(word in rows[0] for word in ("en > pt, es", "Friday [review]"))
    assert all(word in rows[1] for word in ("ended", "auto > pt", "talk"))
    assert newest in run_here(up, "meetings", "list", "--limit", "1").stdout
    assert imported not in run_here(up, "meetings", "list", "--limit", "1").stdout
    ended = json.loads(run_here(up, "meetings", "list", "--status", "ended", "--json").stdout)
    assert imported in {meeting["id"] for meeting in ended}
    assert {meeting["status"] for meeting in ended} == {"ended"}
    none = run_here(up, "meetings", "list", "--status", "paused", "--status", "timed_out")
    assert none.stdout == "There is no meeting that is paused or timed_out.\n"


def test_the_list_shows_the_full_id_and_the_title(up: ParleyUp) -> None:
    title = "The quarterly review of everything that was planned and what became of it"
    meeting_id = create_meeting(up, title, ("pt", "es", "fr"))
    window = run_on_terminal(up, 80, "meetings", "list")
    assert max(map(len, window)) <= 80
    row = next(line for line in window if meeting_id in line)
    assert "The quarterly" in row
    assert not any("began" in line for line in window)
    assert any("began" in line and "behind" in line for line in run_on_terminal(up, 130, "meetings", "list"))
    piped = next(
        line for line in run_here(up, "meetings", "list", columns=80).stdout.splitlines() if meeting_id in line
    )
    assert all(words in piped for words in ("en > pt, es, fr", title))


def test_a_title_can_not_control_the_terminal(up: ParleyUp) -> None:
    meeting_id = create_meeting(up, "\x1b[2JAll \u202eclear\x07")
    assert any(
        "[2JAll clear" in line for line in run_here(up, "meetings", "list").stdout.splitlines() if meeting_id in line
    )
    shown = run_here(up, "meetings", "show", meeting_id).stdout
    assert re.search(r"^title +\[2JAll clear *$", shown, re.MULTILINE)
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert meeting_details(up, meeting_id)["title"] == "\x1b[2JAll \u202eclear\x07"


def run_on_terminal(up: ParleyUp, columns: int, *arguments: object) -> list[str]:
    """Return the output lines of a command in a terminal with this many columns, without colours."""
    words = f"stty cols {columns}; " + " ".join(parley_arguments(*arguments, "--server", up.url))
    completed = subprocess.run(
        ["script", "--quiet", "--return", "--command", words, "/dev/null"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return re.sub(r"\x1b\[[\d;]*m", "", completed.stdout).splitlines()


def test_a_meeting_is_shown_with_described_counters(up: ParleyUp) -> None:
    meeting_id = create_meeting(up, "Counted", ("pt", "ja"))
    said = {
        "event_id": "1",
        "payload": {"chunk_id": "1", "speaker": "Ann", "text": "Secret plans.", "start": 0, "end": 1},
    }
    for _ in range(3):
        assert up.post(f"/api/meetings/{meeting_id}/events", {"events": [said]}).is_success
    up.post(f"/api/meetings/{meeting_id}/end", {"reason": "lunch"})
    until = time.monotonic() + 180
    captions = {"translated": 1, "untranslated": 1}
    # The command reads the counters before the captions, and a caption may complete in between.
    while (shown := meeting_details(up, meeting_id))["captions"] != captions or len(shown["counters"]) < 3:
        assert time.monotonic() < until, shown
        time.sleep(0.5)
    assert (shown["title"], shown["status"], shown["sentences"]) == ("Counted", "ended", 1)
    assert shown["counters"] == {"repeated": 2, **captions}
    done = run_here(up, "meetings", "show", meeting_id)
    assert done.returncode == 0
    rows = {line[:19].strip(): line[19:].strip() for line in done.stdout.splitlines()}
    assert rows["page"] == f"{up.url}/meetings/{meeting_id}"
    assert rows["repeated"] == "2 events were sent again; they changed nothing"
    assert rows["without a caption"] == "1: 1 × no model translates en to ja"
    assert rows["ended"].endswith(": lunch")
    assert "late" not in rows
    assert "Secret" not in done.stdout


def meeting_details(up: ParleyUp, meeting_id: str) -> Any:
    return json.loads(run_here(up, "meetings", "show", meeting_id, "--json").stdout)


def test_a_meeting_is_exported_to_standard_output_or_a_file_that_is_not_overwritten(
    up: ParleyUp, imported: str, tmp_path: Path
) -> None:
    srt = run_here(up, "meetings", "export", imported, "--format", "srt", "--text", "target", "--language", "pt")
    assert (srt.returncode, srt.stderr) == (0, "")
    assert "00:00:01,000 --> 00:00:03,000" in srt.stdout
    assert "orçamento" in srt.stdout
    out = tmp_path / "minutes.md"
    arguments = ("meetings", "export", imported, "--format", "md", "--text", "both", "--out", out)
    done = run_here(up, *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"Written to {out}.\n"
    minutes = out.read_text()
    assert "The budget for this year is too small." in minutes
    assert "orçamento" in minutes
    out.write_text("mine")
    refused = run_here(up, *arguments)
    assert refused.returncode == 1
    assert f"--out: {out} exists already" in refused.stderr
    assert "--force" in refused.stderr
    assert out.read_text() == "mine"
    assert run_here(up, *arguments, "--force").returncode == 0
    assert out.read_text() == minutes
    rows = [json.loads(line) for line in run_here(up, "meetings", "export", imported, "--out", "-").stdout.splitlines()]
    assert [row["text"] for row in rows] == ["The budget for this year is too small.", "We need more time."]
    word = tmp_path / "minutes.docx"
    arguments = (
        "meetings",
        "export",
        imported,
        "--format",
        "docx",
        "--include",
        "notes",
        "--include",
        "insights",
        "--out",
        word,
    )
    assert run_here(up, *arguments).returncode == 0
    assert word.read_bytes()[:2] == b"PK"


def test_an_export_on_a_terminal_writes_a_named_file(up: ParleyUp, imported: str, tmp_path: Path) -> None:
    export = " ".join(parley_arguments("meetings", "export", imported, "--format", "vtt", "--server", up.url))
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", export, "/dev/null"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Written to talk.pt.vtt." in done.stdout
    assert (tmp_path / "talk.pt.vtt").read_text().startswith("WEBVTT")


def test_an_unavailable_export_is_reported(up: ParleyUp, imported: str) -> None:
    done = run_here(up, "meetings", "export", imported, "--format", "vtt", "--text", "target", "--language", "es")
    assert (done.returncode, done.stdout) == (1, "")
    assert "language: must be one that the meeting is translated into: pt" in done.stderr


def test_a_meeting_is_ended_once(up: ParleyUp) -> None:
    meeting_id = create_meeting(up, "Over soon")
    done = run_here(up, "meetings", "end", meeting_id, "--reason", "everybody left")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "The meeting is ending.\n"
    until = time.monotonic() + 180
    while meeting_details(up, meeting_id)["status"] != "ended":
        assert time.monotonic() < until
    assert meeting_details(up, meeting_id)["end_reason"] == "everybody left"
    again = run_here(up, "meetings", "end", meeting_id)
    assert (again.returncode, again.stderr) == (0, "The meeting had ended before: everybody left.\n")


@pytest.mark.parametrize("name", ["show", "export", "end"])
def test_an_unknown_meeting_is_named(up: ParleyUp, name: str) -> None:
    done = run_parley("meetings", name, NOBODY, "--server", up.url + "/")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"parley: Not Found: there is no meeting {NOBODY}\n"


def test_doctor_finds_the_running_system(up: ParleyUp) -> None:
    finding = machine_checks.check_port(up.port)
    assert (finding.state, finding.found) == ("running", f"Parley runs at {up.url}")


def test_doctor_reports_that_the_port_and_folder_are_in_use(up: ParleyUp) -> None:
    done = run_here(up, "doctor")
    assert done.returncode == 0, done.stdout
    assert "Parley is running already." in done.stdout
    assert "`parley up` can run." not in done.stdout
    answer = json.loads(run_here(up, "doctor", "--json").stdout)
    assert (answer["ready"], answer["running"]) == (False, True)
