"""A lane's process, restarted after a short pause if it dies, as the supervisor does."""

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
"""Seconds before a restart: the first pause, and the limit to which it doubles while the process dies within a second."""
STATUS_POLL_S = 0.02
"""Seconds between two checks of the process's exit status."""
MEMORY_POLL_S = 0.25
"""Seconds between two samples of the process's memory."""

# A fork server saves each new process the imports: up to two hundred processes are killed.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["flows.lane.runner", "pytest"])


class LaneProcess:
    """Runs a lane in a process and restarts it.

    Args:
        options: the lane's options.
        log: the file for the processes' output.

    Attributes:
        process: the current process.
        exit_statuses: exit statuses of processes that ended unasked, oldest first. A signal's number is negative.
        peak_mb: the peak memory over all processes (MB).
    """

    def __init__(self, options: LaneOptions, log: Path) -> None:
        self._options, self._log = options, log
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._restart_loop, name="lane-restart", daemon=True)
        self.exit_statuses: list[int] = []
        self.peak_mb = 0.0
        self.process = self._start()

    def __enter__(self) -> LaneProcess:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the lane with SIGTERM, as an administrator does."""
        self._stopping.set()
        self._thread.join()
        self.process.terminate()
        self.process.join(60)
        stopped = self.process.exitcode is not None
        self.process.kill()
        assert stopped, "the lane did not stop"

    def is_alive(self) -> bool:
        """Whether the process is running."""
        with self._lock:
            return self.process.exitcode is None

    def kill(self) -> None:
        """SIGKILL the current process and wait until it has ended."""
        with self._lock:
            self.process.kill()
            self.process.join()

    def suspend(self) -> None:
        """Suspend the process (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the suspended process (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def replace(self) -> ForkServerProcess:
        """Start a successor beside the current process. Returns the old process, which the caller now owns."""
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
