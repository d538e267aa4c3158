"""`parley demo`: captions with one command, and nothing left afterwards."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.ports import find_free_port
from tests.harness.processes.parley_up import ROOT, STOP_TIMEOUT_S, parley_arguments, run_parley_process

pytestmark = pytest.mark.timeout(600)

SENTENCE_COUNT = 90
"""Number of sentences in the demo's meeting."""


@pytest.fixture(autouse=True)
def _usual_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PORT", str(find_free_port()))


@pytest.mark.main_path
def test_the_demo_plays_the_meeting_and_reports_the_result() -> None:
    done = run_parley_process("demo", "--exit", timeout=580)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"launch +│ {SENTENCE_COUNT} +│ {SENTENCE_COUNT} translated +│ after \d+\.\d s", done.stdout), (
        done.stdout
    )
    assert f"http://127.0.0.1:{os.environ['PARLEY_PORT']}/meetings/" in done.stderr
    assert re.search(r"The first caption came \d+\.\d s after the start of this command\.", done.stderr)


def test_the_demo_plays_the_meeting_by_the_fireflies_stand_in() -> None:
    done = run_parley_process("demo", "--source", "fireflies", "--exit", timeout=580)
    assert done.returncode == 0, done.stderr
    assert f"{SENTENCE_COUNT} translated" in done.stdout


def test_a_live_source_has_no_style() -> None:
    done = run_parley_process("demo", "--source", "fireflies", "--style", "formal", timeout=60)
    assert done.returncode == 1
    assert "--style: must be left out" in done.stderr


def test_missing_captions_fail_the_demo_on_any_free_port() -> None:
    with socket.create_server(("127.0.0.1", int(os.environ["PARLEY_PORT"]))):
        done = run_parley_process("demo", "--exit", "--translator", "none", timeout=580)
    assert done.returncode == 1
    assert f"{SENTENCE_COUNT} untranslated" in done.stdout
    assert f"port {os.environ['PARLEY_PORT']} is in use" in done.stderr
    last = done.stderr.splitlines()[-1]
    missing = f"{SENTENCE_COUNT} of {SENTENCE_COUNT} sentences lack a caption: {SENTENCE_COUNT} × translation is off"
    assert last == f"parley: incomplete: {missing}"


def test_the_demo_does_not_wait_forever_for_pending_captions() -> None:
    code = "from cluster import cli; from cluster.commands import demo; demo.CAPTIONS_TIMEOUT_S = 0.0; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--exit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "parley: incomplete: not finished 0 s after all events were sent; " in done.stderr.splitlines()[-1]


@pytest.fixture
def playing(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A demo at the recording's own speed, and the file with its output."""
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            parley_arguments("demo", "--no-browser"), cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process, said
        finally:
            left = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for each in left:
                with suppress(psutil.NoSuchProcess):
                    each.kill()


def test_the_demo_is_live_until_ctrl_c_and_leaves_nothing(playing: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, said = playing
    page = wait_for_output(process, said, r"The meeting is at (\S+)")[1]
    answer = httpx.get(page, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    meeting = httpx.get(page.replace("/meetings/", "/api/meetings/"), timeout=30).raise_for_status().json()
    assert (meeting["clock"], meeting["config"]["target_languages"]) == ("live", ["pt"])
    wait_for_output(process, said, r"The first caption came \d+\.\d s")
    folder = Path(wait_for_output(process, said, r"Postgres and Valkey in (\S+)")[1]).parent
    assert folder.is_dir()
    os.killpg(process.pid, signal.SIGINT)  # Like a terminal, which signals the whole process group of the command.
    assert process.wait(STOP_TIMEOUT_S) == 0, said.read_text()
    assert said.read_text().endswith("Stopped. The data of the demo was deleted.\n")
    assert not folder.exists()


def test_ctrl_c_undoes_the_start(playing: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, said = playing
    wait_for_output(process, said, "starting Ray")
    folder = Path(wait_for_output(process, said, r"Postgres and Valkey in (\S+)")[1]).parent
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(STOP_TIMEOUT_S) == 130, said.read_text()
    assert "Traceback" not in said.read_text()
    assert not folder.exists()


def test_sigterm_undoes_the_start_when_ray_is_up_and_leaves_no_process(open_folder: Path) -> None:
    said = open_folder / "sigterm-said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            parley_arguments("up", "--data", open_folder / "sigterm-data"),
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    children: list[psutil.Process] = []
    try:
        wait_for_output(process, said, "starting the HTTP API")
        children = psutil.Process(process.pid).children(recursive=True)
        names: set[str] = set()
        for child in children:
            # Processes may end during the loop.
            with suppress(psutil.NoSuchProcess):
                names.add(child.name())
        assert {"postgres", "raylet"} <= names, names
        process.terminate()
        assert process.wait(STOP_TIMEOUT_S) == 130, said.read_text()
        assert "Traceback" not in said.read_text()
        _, left = psutil.wait_procs(children, timeout=120)
        assert left == []
    finally:
        process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def wait_for_output(process: subprocess.Popen[bytes], output_file: Path, words: str) -> re.Match[str]:
    deadline = time.monotonic() + 200
    while not (found := re.search(words, output_file.read_text())):
        assert process.poll() is None, output_file.read_text()
        assert time.monotonic() < deadline, output_file.read_text()
        time.sleep(0.1)
    return found
