"""Supervises actor processes: restarts each one that died, with growing pauses, and reports crash loops.

Each process gets periodic heartbeat calls. A process that stops responding is killed, and restarted as if it had died.
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
"""Seconds before a process is restarted. The pause doubles from the first value up to the maximum."""
CRASH_LOOP_DEATH_COUNT, CRASH_LOOP_WINDOW_S = 5, 60.0
"""Number of deaths that are a crash loop, and the seconds within which they happen."""
HEARTBEAT_INTERVAL_S = 5.0
"""Seconds between two heartbeat calls of a process."""

log = structlog.get_logger(__name__)


@dataclass
class ManagedProcess:
    """A supervised process and its state.

    Attributes:
        name: name of the process in logs.
        start_actor: creates its actor, which has `run()`, `stop()` and `alive()`.
        is_needed: whether the process must run now.
        on_state: called with `crash_loop` if the process dies repeatedly, and with `stopped` after it ended as requested.
        actor: the running actor.
        run_ref: the pending result of the actor's `run()`; None if the process does not run.
        death_times: times of the recent deaths, on the monotonic clock.
        restart_at: earliest time of the next start.
        stop_deadline: time after which a process is killed that was requested to stop; None without a request.
        heartbeat_ref: the pending heartbeat call.
        heartbeat_sent_at: time of the last heartbeat call.
        has_responded: whether a heartbeat call was answered since the start.
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
    """A process did not answer its heartbeat call, or did not stop in time."""


class Supervisor:
    """Supervises processes. Each `run_once` checks all of them.

    Args:
        heartbeat_timeout_s: seconds after which a process is killed that does not answer a heartbeat call. The limit does not
            apply before the first answer, because Ray may have no resources for the process yet.
        stop_timeout_s: seconds that a process has to stop.
    """

    def __init__(self, heartbeat_timeout_s: float, stop_timeout_s: float) -> None:
        self._heartbeat_timeout_s, self._stop_timeout_s = heartbeat_timeout_s, stop_timeout_s
        self._processes: list[ManagedProcess] = []

    def add(self, process: ManagedProcess) -> None:
        """Add a process to supervise."""
        self._processes.append(process)

    def run_once(self) -> None:
        """Start needed processes, request others to stop, record those that ended, and kill those that hang."""
        for process in self._processes:
            try:
                self._reconcile(process)
            except Exception as error:  # noqa: BLE001 - an unreachable store of one process must not stop the supervision of others
                log.warning("process not checked", process=process.name, error=type(error).__name__)

    def stop(self) -> None:
        """Request all processes to stop, and wait for them. Processes that exceed the timeout are killed."""
        for process in self._processes:
            if process.run_ref is not None and process.stop_deadline is None:
                self._request_stop(process)
        while any(process.run_ref is not None for process in self._processes):
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
        assert process.actor is not None  # noqa: S101 - a running process has an actor
        process.stop_deadline = time.monotonic() + self._stop_timeout_s
        process.actor.stop.remote()

    def _check(self, process: ManagedProcess, timeout_s: float = 0.0) -> None:
        assert process.run_ref is not None  # noqa: S101 - only running processes are checked
        finished, _ = ray.wait([process.run_ref], timeout=timeout_s)
        if not finished and not self._is_hung(process):
            return
        actor, process.actor, process.run_ref = process.actor, None, None
        failure: Exception | None = None if finished else ProcessHungError()
        try:
            if finished:
                ray.get(finished[0])
        except Exception as error:  # noqa: BLE001 - after any error the death is counted and the process restarted
            failure = error
        # Killed first, because a hanging process still occupies its resources on a node.
        with suppress(RayError):
            ray.kill(actor)
        if failure is not None:
            self._on_death(process, failure)
        if failure is None or process.stop_deadline is not None:
            process.on_state("stopped")

    def _is_hung(self, process: ManagedProcess) -> bool:
        """Return whether a running process is unresponsive, or has exceeded the time to stop."""
        now = time.monotonic()
        if process.stop_deadline is not None:
            return now >= process.stop_deadline
        if process.heartbeat_ref is None:
            if now >= process.heartbeat_sent_at + HEARTBEAT_INTERVAL_S:
                process.heartbeat_ref, process.heartbeat_sent_at = process.actor.alive.remote(), now
            return False
        responses, _ = ray.wait([process.heartbeat_ref], timeout=0)
        if not responses:
            # Before the first answer, Ray may have no resources for the process.
            return process.has_responded and now >= process.heartbeat_sent_at + self._heartbeat_timeout_s
        process.heartbeat_ref = None
        try:
            alive = bool(ray.get(responses[0]))
        except RayError:
            # The process died, which the result of `run()` will show, or it is unreachable for a moment.
            return False
        process.has_responded = True
        return not alive

    def _on_death(self, process: ManagedProcess, error: Exception) -> None:
        now = time.monotonic()
        # Detecting a hang takes most of a minute, so that repeated hangs need a longer window to count as a crash loop.
        window_s = CRASH_LOOP_WINDOW_S * (CRASH_LOOP_DEATH_COUNT if isinstance(error, ProcessHungError) else 1)
        while process.death_times and process.death_times[0] < now - window_s:
            process.death_times.popleft()
        process.death_times.append(now)
        delay_s = min(MAX_RESTART_DELAY_S, FIRST_RESTART_DELAY_S * 2 ** (len(process.death_times) - 1))
        process.restart_at = now + delay_s
        # Only the type of the error, because its message may contain transcript text.
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
