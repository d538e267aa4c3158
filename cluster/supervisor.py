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

FIRST_WAIT, LAST_WAIT = 0.2, 10.0
"""Seconds before a process is started again: at first, and what it doubles to."""
LOOP_DEATHS, LOOP_SECONDS = 5, 60.0
"""That many deaths within that time are a crash loop."""
ASK = 5.0
"""Seconds between two questions whether a process lives."""

log = structlog.get_logger(__name__)


@dataclass
class Charge:
    """A process to keep running.

    Attributes:
        name: what the log calls it.
        start: makes its actor, which has `run()`, `stop()` and `alive()`.
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
    stop_by: float | None = None
    asked: ray.ObjectRef[Any] | None = None
    asked_at: float = 0.0
    answered: bool = False


class Hung(Exception):
    """A process gave no sign of life, or did not stop when it was asked to."""


class Supervisor:
    """Looks after charges, one `round` at a time.

    Args:
        silence: seconds without a sign of life after which a process is ended. One that Ray has no room for yet may take
            any time.
        patience: seconds a process gets to stop.
    """

    def __init__(self, silence: float, patience: float) -> None:
        self._silence, self._patience = silence, patience
        self._charges: list[Charge] = []

    def add(self, charge: Charge) -> None:
        """Look after one more."""
        self._charges.append(charge)

    def round(self) -> None:
        """Start what should run and does not; take note of what ended, and end what hangs."""
        for charge in self._charges:
            try:
                self._look_after(charge)
            except Exception as error:  # noqa: BLE001 - one whose store is away must not keep the others from being looked after
                log.warning("not looked after", process=charge.name, error=type(error).__name__)

    def stop(self) -> None:
        """Ask everything to stop, and wait for it; what still runs when its patience is over is ended."""
        for charge in self._charges:
            if charge.running is not None and charge.stop_by is None:
                self._ask_to_stop(charge)
        while any(charge.running is not None for charge in self._charges):
            for charge in self._charges:
                if charge.running is not None:
                    self._look(charge, wait=0.1)

    def _look_after(self, charge: Charge) -> None:
        if charge.running is not None:
            self._look(charge)
        elif charge.wanted() and time.monotonic() >= charge.start_at:
            charge.actor = charge.start()
            charge.running = charge.actor.run.remote()
            charge.stop_by, charge.asked, charge.asked_at, charge.answered = None, None, time.monotonic(), False
        if charge.running is not None and charge.stop_by is None and not charge.wanted():
            self._ask_to_stop(charge)

    def _ask_to_stop(self, charge: Charge) -> None:
        assert charge.actor is not None  # noqa: S101 - what runs has an actor
        charge.stop_by = time.monotonic() + self._patience
        charge.actor.stop.remote()

    def _look(self, charge: Charge, wait: float = 0.0) -> None:
        assert charge.running is not None  # noqa: S101 - only what runs is looked at
        done, _ = ray.wait([charge.running], timeout=wait)
        if not done and not self._hangs(charge):
            return
        actor, charge.actor, charge.running = charge.actor, None, None
        failure: Exception | None = None if done else Hung()
        try:
            if done:
                ray.get(done[0])
        except Exception as error:  # noqa: BLE001 - whatever it died of, it is started again and the death is counted
            failure = error
        # First: what hangs still holds its part of a node.
        with suppress(RayError):
            ray.kill(actor)
        if failure is not None:
            self._died(charge, failure)
        if failure is None or charge.stop_by is not None:
            charge.report("stopped")

    def _hangs(self, charge: Charge) -> bool:
        """Whether a process that runs shows no life, or goes on though it was to have stopped by now."""
        now = time.monotonic()
        if charge.stop_by is not None:
            return now >= charge.stop_by
        if charge.asked is None:
            if now >= charge.asked_at + ASK:
                charge.asked, charge.asked_at = charge.actor.alive.remote(), now
            return False
        answer, _ = ray.wait([charge.asked], timeout=0)
        if not answer:
            # Until it has answered once, it may be that Ray has no place for it.
            return charge.answered and now >= charge.asked_at + self._silence
        charge.asked = None
        try:
            alive = bool(ray.get(answer[0]))
        except RayError:
            # It is gone, which its end will tell, or out of reach for a moment.
            return False
        charge.answered = True
        return not alive

    def _died(self, charge: Charge, error: Exception) -> None:
        now = time.monotonic()
        # It takes most of a minute to find out that a process hangs: doing so again and again is a crash loop as well.
        window = LOOP_SECONDS * (LOOP_DEATHS if isinstance(error, Hung) else 1)
        while charge.deaths and charge.deaths[0] < now - window:
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
