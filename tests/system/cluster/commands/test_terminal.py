"""Ctrl-C undoes a start at any point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.processes.parley_up import ROOT

FINALIZER = """
import os, signal, time
from cluster.commands.terminal import ShutdownSignals

class Gone:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

try:
    with ShutdownSignals():
        gone = Gone()
        del gone
        time.sleep(90)
except KeyboardInterrupt:
    print("undone")
"""
OTHER = """
from cluster.commands.terminal import ShutdownSignals

class Gone:
    def __del__(self):
        raise ValueError("seen")

with ShutdownSignals():
    gone = Gone()
    del gone
"""
OVER = """
import os, signal
from cluster.commands.terminal import ShutdownSignals

with ShutdownSignals():
    pass
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    os.kill(os.getpid(), number)
print("at its end")
"""
EVALUATED = """
import os, signal, sys, time
from cluster.commands.terminal import ShutdownSignals

try:
    with ShutdownSignals():
        eval("(os.kill(os.getpid(), signal.SIGTERM), time.sleep(90))")
except KeyboardInterrupt:
    sys.exit(130)
"""
HANG_UP = """
import os, signal, sys
from cluster.commands.terminal import ShutdownSignals

signal.signal(signal.SIGHUP, signal.{before})
with ShutdownSignals() as signals:
    stopping = signals.mark_started()
    os.kill(os.getpid(), signal.SIGHUP)
    print(stopping.is_set())
"""


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)


def test_an_interrupt_in_a_finalizer_still_stops_without_a_traceback() -> None:
    done = run_program(FINALIZER)
    assert (done.stdout, done.stderr) == ("undone\n", "")


def test_any_other_error_in_a_finalizer_is_shown() -> None:
    assert "ValueError: seen" in run_program(OTHER).stderr


def test_a_signal_after_the_stop_is_ignored() -> None:
    assert run_program(OVER).stdout == "at its end\n"


def test_an_interrupt_in_evaluated_text_keeps_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "evaluated.py").write_text(EVALUATED)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run([sys.executable, "-m", "evaluated"], env=os.environ | {"PYTHONPATH": path}, check=False)
    assert done.returncode == 130


def test_a_closed_terminal_stops_a_command_unless_nohup_started_it() -> None:
    assert run_program(HANG_UP.format(before="SIG_DFL")).stdout == "True\n"
    assert run_program(HANG_UP.format(before="SIG_IGN")).stdout == "False\n"
