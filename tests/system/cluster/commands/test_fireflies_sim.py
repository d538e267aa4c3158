"""`parley fireflies-sim` as a process: it prints its URL, answers, and ends at Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from tests.harness.processes.parley_command import ROOT

pytestmark = pytest.mark.main_path


def test_the_stand_in_runs_until_ctrl_c() -> None:
    command = [sys.executable, "-m", "cluster.cli", "fireflies-sim", "--port", "0", "--past-meetings", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip()
        assert "Transcript ids: demo." in process.stderr.readline()
        assert httpx.get(f"{url}/health").json() == {"status": "ok", "scenarios": 3, "active_connections": 0}
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        assert process.stderr.read() == "Stopped.\n"
