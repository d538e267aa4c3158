"""Keeps the flow's processes running: starts each again when it dies, ever later, and says so when it keeps dying."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
import structlog

FIRST_WAIT, LAST_WAIT = 0.2, 10.0
"""Seconds before a process is started again: at first, and what it doubles to."""
LOOP_DEATHS, LOOP_SECONDS = 5, 60.0
"""That many deaths within that time are a crash loop."""

log = structlog.get_logger(__name__)


@dataclass
class Charge:
    """A process to keep running.

    Attributes:
        name: what the log calls it.
        start: makes its actor, which has `run()` and `stop()`.
        wanted: whether it is to run now.
        report: told `crash_loop` when it keeps dying, and `stopped` when it ended as asked.
    """

    name: str
    start: Callable[[], Any]
    wanted: Callable[[], bool]
    report: Callable[[str], None]
    actor: Any = None
    running: ray.ObjectRef[Any] | None = None
    deaths: deque[float] = field(default_factory=deque[float])
    start_at: float = 0.0
    stopping: bool = False


class Supervisor:
    """Looks after charges, one `round` at a time."""

    def __init__(self) -> None:
        self._charges: list[Charge] = []

    def add(self, charge: Charge) -> None:
        """Look after one more."""
        self._charges.append(charge)

    def round(self) -> None:
        """Start what should run and does not; take note of what ended."""
        for charge in self._charges:
            if charge.running is not None:
                self._look(charge)
            elif charge.wanted() and time.monotonic() >= charge.start_at:
                charge.actor = charge.start()
                charge.running = charge.actor.run.remote()
                charge.stopping = False
            if charge.running is not None and not charge.stopping and not charge.wanted():
                self._ask_to_stop(charge)

    def stop(self, patience: float) -> None:
        """Ask everything to stop, and wait for it.

        Args:
            patience: seconds after which what still runs is ended.
        """
        for charge in self._charges:
            if charge.running is not None and not charge.stopping:
                self._ask_to_stop(charge)
        until = time.monotonic() + patience
        while any(c.running is not None for c in self._charges) and time.monotonic() < until:
            for charge in self._charges:
                if charge.running is not None:
                    self._look(charge, wait=0.1)
        for charge in self._charges:
            if charge.actor is not None and charge.running is not None:
                log.warning("did not stop in time", process=charge.name)
                ray.kill(charge.actor)

    def _ask_to_stop(self, charge: Charge) -> None:
        assert charge.actor is not None  # noqa: S101 - what runs has an actor
        charge.stopping = True
        charge.actor.stop.remote()

    def _look(self, charge: Charge, wait: float = 0.0) -> None:
        assert charge.running is not None  # noqa: S101 - only what runs is looked at
        done, _ = ray.wait([charge.running], timeout=wait)
        if not done:
            return
        actor, charge.actor, charge.running = charge.actor, None, None
        try:
            ray.get(done[0])
        except Exception as error:  # noqa: BLE001 - whatever it died of, it is started again and the death is counted
            self._died(charge, error)
        else:
            charge.report("stopped")
        if actor is not None:
            ray.kill(actor)

    def _died(self, charge: Charge, error: Exception) -> None:
        now = time.monotonic()
        while charge.deaths and charge.deaths[0] < now - LOOP_SECONDS:
            charge.deaths.popleft()
        charge.deaths.append(now)
        wait = min(LAST_WAIT, FIRST_WAIT * 2 ** (len(charge.deaths) - 1))
        charge.start_at = now + wait
        # Only the kind of error: its message may hold what somebody said.
        cause = getattr(error, "cause", None) or error
        log.error(
            "process died", process=charge.name, error=type(cause).__name__, again_in=wait, deaths=len(charge.deaths)
        )
        if len(charge.deaths) >= LOOP_DEATHS:
            charge.report("crash_loop")
