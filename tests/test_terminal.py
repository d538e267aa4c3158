"""Ctrl-C undoes a start wherever it comes."""

from __future__ import annotations

import subprocess
import sys

FINALIZER = """
import os, signal, time
from cluster.commands.terminal import CtrlC

class Gone:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

ctrl_c = CtrlC()
try:
    gone = Gone()
    del gone
    time.sleep(30)
except KeyboardInterrupt:
    print("undone")
"""
OTHER = """
from cluster.commands.terminal import CtrlC

class Gone:
    def __del__(self):
        raise ValueError("seen")

ctrl_c = CtrlC()
gone = Gone()
del gone
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)


def test_a_request_to_stop_within_a_finalizer_still_stops_and_shows_no_traceback() -> None:
    done = run(FINALIZER)
    assert (done.stdout, done.stderr) == ("undone\n", "")


def test_any_other_error_in_a_finalizer_is_shown() -> None:
    assert "ValueError: seen" in run(OTHER).stderr
