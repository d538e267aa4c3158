"""Keeps a lane's process running, as the supervisor does: one that dies is started again a little later."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil

from flows.lane.options import LaneOptions
from tests.chaos.systems.lane_main import run_lane

FIRST_RESTART_S, MAX_RESTART_S = 0.05, 2.0
"""Seconds before a process is started again: at first, and what it doubles to while it dies within a second."""
STATUS_POLL_S = 0.02
MEMORY_POLL_S = 0.25
"""Seconds between two looks at the memory."""

# A process of its own each time, but one that need not import everything again: two hundred of them are killed.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["flows.lane.runner", "pytest"])


class LaneProcess:
    """Runs a lane in a process.

    Args:
        log: the file that takes what the processes say.

    Attributes:
        process: the one that is there.
        deaths: exit statuses of processes that nobody asked to end, oldest first; a signal's is negative.
        peak: the most memory any process had (MB).
    """

    def __init__(self, options: LaneOptions, log: Path) -> None:
        self._options, self._log = options, log
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._restart_loop, name="keeper", daemon=True)
        self.exit_statuses: list[int] = []
        self.peak_mb = 0.0
        self.process = self._start()

    def __enter__(self) -> LaneProcess:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the lane as an administrator does."""
        self._stopping.set()
        self._thread.join()
        self.process.terminate()
        self.process.join(60)
        stopped = self.process.exitcode is not None
        self.process.kill()
        assert stopped, "the lane did not stop"

    def is_alive(self) -> bool:
        """Whether there is a process at this moment."""
        with self._lock:
            return self.process.exitcode is None

    def kill(self) -> None:
        """SIGKILL of the process that is there, and wait until it has gone."""
        with self._lock:
            self.process.kill()
            self.process.join()

    def suspend(self) -> None:
        """SIGSTOP: the process is there, and does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on where it stood."""
        self._signal(signal.SIGCONT)

    def replace(self) -> ForkServerProcess:
        """Start a successor beside the process that is there, which from now on is the caller's."""
        with self._lock:
            predecessor, self.process = self.process, self._start()
        return predecessor

    def _signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def _start(self) -> ForkServerProcess:
        process = _processes.Process(target=run_lane, args=(self._options, self._log), daemon=True)
        process.start()
        return process

    def _restart_loop(self) -> None:
        started_at, restart_pause_s, sampled_at = time.monotonic(), FIRST_RESTART_S, 0.0
        while not self._stopping.wait(STATUS_POLL_S):
            with self._lock:
                status = self.process.exitcode
            if status is None:
                if time.monotonic() - sampled_at > MEMORY_POLL_S:
                    sampled_at = time.monotonic()
                    self._sample_memory()
                continue
            self.exit_statuses.append(status)
            restart_pause_s = (
                FIRST_RESTART_S if time.monotonic() - started_at > 1 else min(2 * restart_pause_s, MAX_RESTART_S)
            )
            if self._stopping.wait(restart_pause_s):
                return
            with self._lock:
                started_at, self.process = time.monotonic(), self._start()

    def _sample_memory(self) -> None:
        try:
            self.peak_mb = max(self.peak_mb, psutil.Process(self.process.pid).memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            return
