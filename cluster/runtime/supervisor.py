"""Keeps the flow's processes running: starts each again when it dies, ever later, and says so when it keeps dying.

One that hangs is ended and started again as if it had died: it is asked for a sign of life again and again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
import structlog
from ray.exceptions import RayError

FIRST_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 0.2, 10.0
"""Seconds before a process is started again: at first, and what it doubles to."""
CRASH_LOOP_DEATH_COUNT, CRASH_LOOP_WINDOW_S = 5, 60.0
"""That many deaths within that time are a crash loop."""
HEARTBEAT_INTERVAL_S = 5.0
"""Seconds between two questions whether a process lives."""

log = structlog.get_logger(__name__)


@dataclass
class ManagedProcess:
    """A process to keep running.

    Attributes:
        name: what the log calls it.
        start: makes its actor, which has `run()`, `stop()` and `alive()`.
        wanted: whether it is to run now.
        report: told `crash_loop` when it keeps dying, and `stopped` when it ended as asked.
    """

    name: str
    start_actor: Callable[[], Any]
    is_needed: Callable[[], bool]
    on_state: Callable[[str], None]
    actor: Any = None
    run_ref: ray.ObjectRef[Any] | None = None
    death_times: deque[float] = field(default_factory=deque[float])
    restart_at: float = 0.0
    stop_deadline: float | None = None
    heartbeat_ref: ray.ObjectRef[Any] | None = None
    heartbeat_sent_at: float = 0.0
    has_responded: bool = False


class ProcessHungError(Exception):
    """A process gave no sign of life, or did not stop when it was asked to."""


class Supervisor:
    """Looks after charges, one `round` at a time.

    Args:
        silence: seconds without a sign of life after which a process is ended. One that Ray has no room for yet may take
            any time.
        patience: seconds a process gets to stop.
    """

    def __init__(self, heartbeat_timeout_s: float, stop_timeout_s: float) -> None:
        self._heartbeat_timeout_s, self._stop_timeout_s = heartbeat_timeout_s, stop_timeout_s
        self._processes: list[ManagedProcess] = []

    def add(self, process: ManagedProcess) -> None:
        """Look after one more."""
        self._processes.append(process)

    def run_once(self) -> None:
        """Start what should run and does not; take note of what ended, and end what hangs."""
        for process in self._processes:
            try:
                self._reconcile(process)
            except Exception as error:  # noqa: BLE001 - one whose store is away must not keep the others from being looked after
                log.warning("not looked after", process=process.name, error=type(error).__name__)

    def stop(self) -> None:
        """Ask everything to stop, and wait for it; what still runs when its patience is over is ended."""
        for process in self._processes:
            if process.run_ref is not None and process.stop_deadline is None:
                self._request_stop(process)
        while any(charge.run_ref is not None for charge in self._processes):
            for process in self._processes:
                if process.run_ref is not None:
                    self._check(process, timeout_s=0.1)

    def _reconcile(self, process: ManagedProcess) -> None:
        if process.run_ref is not None:
            self._check(process)
        elif process.is_needed() and time.monotonic() >= process.restart_at:
            process.actor = process.start_actor()
            process.run_ref = process.actor.run.remote()
            process.stop_deadline, process.heartbeat_ref, process.heartbeat_sent_at, process.has_responded = (
                None,
                None,
                time.monotonic(),
                False,
            )
        if process.run_ref is not None and process.stop_deadline is None and not process.is_needed():
            self._request_stop(process)

    def _request_stop(self, process: ManagedProcess) -> None:
        assert process.actor is not None  # noqa: S101 - what runs has an actor
        process.stop_deadline = time.monotonic() + self._stop_timeout_s
        process.actor.stop.remote()

    def _check(self, process: ManagedProcess, timeout_s: float = 0.0) -> None:
        assert process.run_ref is not None  # noqa: S101 - only what runs is looked at
        finished, _ = ray.wait([process.run_ref], timeout=timeout_s)
        if not finished and not self._is_hung(process):
            return
        actor, process.actor, process.run_ref = process.actor, None, None
        failure: Exception | None = None if finished else ProcessHungError()
        try:
            if finished:
                ray.get(finished[0])
        except Exception as error:  # noqa: BLE001 - whatever it died of, it is started again and the death is counted
            failure = error
        # First: what hangs still holds its part of a node.
        with suppress(RayError):
            ray.kill(actor)
        if failure is not None:
            self._on_death(process, failure)
        if failure is None or process.stop_deadline is not None:
            process.on_state("stopped")

    def _is_hung(self, process: ManagedProcess) -> bool:
        """Whether a process that runs shows no life, or goes on though it was to have stopped by now."""
        now = time.monotonic()
        if process.stop_deadline is not None:
            return now >= process.stop_deadline
        if process.heartbeat_ref is None:
            if now >= process.heartbeat_sent_at + HEARTBEAT_INTERVAL_S:
                process.heartbeat_ref, process.heartbeat_sent_at = process.actor.alive.remote(), now
            return False
        responses, _ = ray.wait([process.heartbeat_ref], timeout=0)
        if not responses:
            # Until it has answered once, it may be that Ray has no place for it.
            return process.has_responded and now >= process.heartbeat_sent_at + self._heartbeat_timeout_s
        process.heartbeat_ref = None
        try:
            alive = bool(ray.get(responses[0]))
        except RayError:
            # It is gone, which its end will tell, or out of reach for a moment.
            return False
        process.has_responded = True
        return not alive

    def _on_death(self, process: ManagedProcess, error: Exception) -> None:
        now = time.monotonic()
        # It takes most of a minute to find out that a process hangs: doing so again and again is a crash loop as well.
        window_s = CRASH_LOOP_WINDOW_S * (CRASH_LOOP_DEATH_COUNT if isinstance(error, ProcessHungError) else 1)
        while process.death_times and process.death_times[0] < now - window_s:
            process.death_times.popleft()
        process.death_times.append(now)
        delay_s = min(MAX_RESTART_DELAY_S, FIRST_RESTART_DELAY_S * 2 ** (len(process.death_times) - 1))
        process.restart_at = now + delay_s
        # Only the kind of error: its message may hold what somebody said.
        cause = getattr(error, "cause", None) or error
        log.error(
            "process died",
            process=process.name,
            error=type(cause).__name__,
            again_in=delay_s,
            deaths=len(process.death_times),
        )
        if len(process.death_times) >= CRASH_LOOP_DEATH_COUNT:
            process.on_state("crash_loop")
