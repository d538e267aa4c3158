"""storage/embedded_servers/owner_watcher.py: however a command ends, its embedded stores then stop cleanly."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from storage.embedded_servers.embedded_stores import EmbeddedStores
from tests.harness.processes.slow_stores import stop_stores
from tests.integration.storage.embedded_servers.test_embedded_stores import (
    OWNER,
    ROOT,
    find_watchers,
    read_words,
    write_word,
)

pytestmark = pytest.mark.usefixtures("default_sighup")

COMMAND = """
import pathlib, sys
from cluster.commands.terminal import ShutdownSignals, console
from storage.embedded_servers.embedded_stores import EmbeddedStores
with ShutdownSignals() as signals, EmbeddedStores(pathlib.Path(sys.argv[1])):
    stopping = signals.mark_started()
    console.print("up")
    stopping.wait()
    console.print("stopping")
"""
"""A command like `parley up`, without Ray."""
SLOW = pytest.mark.slow
OWNER_IGNORING_SIGTERM = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{OWNER}"


@pytest.fixture(scope="module")
def used(open_folder: Path) -> Iterator[Path]:
    """A data directory that all tests share."""
    data = open_folder / "watched"
    yield data
    stop_stores(data)
    shutil.rmtree(data)


def start_owner(used: Path, program: str, *before: str) -> subprocess.Popen[bytes]:
    """Start a program on a data directory in a separate process group, as a shell does."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", program, str(used)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def wait_and_write(used: Path, process: subprocess.Popen[bytes], output: int) -> list[psutil.Process]:
    """Wait until a program is up, write to its stores, and return its child processes."""
    printed = b""
    while b"up" not in printed:
        piece = os.read(output, 1000)
        assert piece, printed.decode()
        printed += piece
    write_word(EmbeddedStores(used).start(), "kept")
    processes = psutil.Process(process.pid).children(recursive=True)
    assert any(find_watchers(one.pid) for one in [psutil.Process(process.pid), *processes])
    return processes


def check_stopped(used: Path, processes: list[psutil.Process]) -> None:
    """Check that a program's servers have shut down cleanly after it, and that the written data is there."""
    assert psutil.wait_procs(processes, timeout=60)[1] == []
    assert "database system is shut down" in (used / "postgres" / "server.log").read_text()
    assert "ready to exit" in (used / "valkey" / "server.log").read_text()
    with EmbeddedStores(used) as urls:
        assert "kept" in read_words(urls)


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=SLOW), pytest.param(signal.SIGHUP, marks=SLOW)],
    ids=lambda number: number.name,
)
def test_a_signal_that_ends_the_whole_group_at_once_ends_its_servers(used: Path, number: signal.Signals) -> None:
    with start_owner(used, OWNER) as process:
        assert process.stdout is not None
        processes = wait_and_write(used, process, process.stdout.fileno())
        os.killpg(process.pid, number)
        assert process.wait(60) == -number
    check_stopped(used, processes)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=SLOW)], ids=lambda number: number.name
)
def test_a_signal_to_the_whole_group_stops_a_command_cleanly(used: Path, number: signal.Signals) -> None:
    with start_owner(used, COMMAND) as process:
        assert process.stdout is not None
        processes = wait_and_write(used, process, process.stdout.fileno())
        os.killpg(process.pid, number)
        assert process.stdout.read() == b"stopping\n"
        assert process.wait(60) == 0
    check_stopped(used, processes)


@pytest.mark.slow
def test_a_closed_terminal_stops_a_command_cleanly(used: Path) -> None:
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", COMMAND, str(used)]
    with subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        processes = wait_and_write(used, process, ours)
        os.close(ours)
        assert process.wait(60) == 0
    check_stopped(used, processes)


@pytest.mark.slow
def test_a_command_that_timeout_kills_leaves_no_servers(used: Path) -> None:
    with start_owner(used, OWNER_IGNORING_SIGTERM, "timeout", "--kill-after=0.1", "600") as process:
        assert process.stdout is not None
        processes = wait_and_write(used, process, process.stdout.fileno())
        # SIGTERM makes `timeout` act as after 600 s.
        process.terminate()
        process.wait(60)
    check_stopped(used, processes)
