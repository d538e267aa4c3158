"""No store or Ray process outlives `parley up`, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.harness.processes.parley_up import ParleyUp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("default_sighup")]

END_TIMEOUT_S = 240.0
"""Seconds for all processes to end. Ray's agents try to reach its killed server for one minute."""


def kill_process(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def terminate_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)


def hang_up_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGHUP)


def kill_gcs(process: subprocess.Popen[bytes]) -> None:
    """Kill Ray's server, after which Ray ends the command."""
    (server,) = [one for one in psutil.Process(process.pid).children() if "gcs_server" in one.name()]
    server.kill()


@pytest.mark.parametrize(
    ("end", "code"), [(terminate_group, 0), (hang_up_group, 0), (kill_process, -signal.SIGKILL), (kill_gcs, None)]
)
def test_no_process_outlives_the_system(
    end: Callable[[subprocess.Popen[bytes]], None], code: int | None, open_folder: Path
) -> None:
    folder = open_folder / end.__name__
    folder.mkdir(mode=0o755)
    up = ParleyUp(folder, translator="none").start()
    assert up.process is not None
    processes = psutil.Process(up.process.pid).children(recursive=True)
    end(up.process)
    ended = up.process.wait(END_TIMEOUT_S)
    assert code is None or ended == code, up.log.read_text()[-4000:]
    assert psutil.wait_procs(processes, timeout=END_TIMEOUT_S)[1] == []
    assert "database system is shut down" in (up.data / "postgres" / "server.log").read_text()
