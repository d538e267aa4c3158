"""How calls are made beside a dataflow: on an event loop of their own, within bounds, in turns, with retries and deadlines."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import stamina

from flows.turns import Room, Turns

Q = TypeVar("Q")
R = TypeVar("R")

FIRST_RETRY, LAST_RETRY = 0.1, 2.5
"""Seconds between attempts: the least after the first, and what that doubles up to. Chance adds up to as much again."""
CLOSE = 5.0
"""Seconds that calls get to end once they are cancelled."""


@dataclass(frozen=True)
class Outcome(Generic[Q, R]):
    """How a request ended.

    Attributes:
        request: what was asked.
        result: what the service answered; None where it gave none.
        asked: calls that were made.
        reason: why there is no result, else None: `capacity` (the operator was full), `deadline`, `replaced` (by a newer
            request), `stopped` (the flow ended first), or `failed:` and the error's type.
    """

    request: Q
    result: R | None
    asked: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallPolicy(Generic[Q]):
    """How calls are made. Bounds are for a process, however many workers it has; None is no bound.

    Attributes:
        group: what shares one part of the capacity; None where that is the key.
        key: the key of a request: what is kept in order, and what takes turns. The step's input must be keyed alike.
        in_flight: calls under way at once. One that pauses before it is made again counts: a service that asked to
            be left alone gets no other calls in its place.
        in_flight_per_key: the same for one key.
        capacity: requests accepted whose outcome has not left yet, whether they wait, are under way, or are done and
            wait for an earlier one of their key.
        capacity_per_group: the same for one group.
        deadline: seconds a request may take: from its acceptance over all attempts where `when_full` is `owe`, each attempt
            where it is `wait`, and then a call that takes longer is made anew.
        when_full: `owe` gives a request beyond capacity up at once and lets the stream go on. `wait` never gives one up: the
            source asks `Calls.must_wait` before each batch and holds back while it is true, so that no more is held than
            the capacity and what was on its way when it was reached: about what one batch of the source asks.
        order: `ordered` lets the results of a key leave in the order of its requests, `unordered` each as soon as it is there.
            Requests that were replaced or beyond capacity leave at once either way: they have no result to keep in order.
        same: two requests of a key with the same value are about the same thing: the newer replaces one that still waits,
            and joins the tail. None where nothing is ever replaced.
        retryable: whether an error may pass if the call is made again.
        retry_after: seconds for which a retryable error asks to leave the service alone (HTTP's Retry-After): the least
            pause before the next attempt. None where it says nothing.

    Raises:
        ValueError: a bound or the deadline allows nothing.
    """

    key: Callable[[Q], str]
    in_flight: int | None
    in_flight_per_key: int | None = None
    capacity: int | None
    capacity_per_group: int | None = None
    group: Callable[[Q], str] | None = None
    deadline: float
    when_full: Literal["owe", "wait"]
    order: Literal["ordered", "unordered"] = "ordered"
    same: Callable[[Q], Hashable] | None = None
    retryable: Callable[[Exception], bool]
    retry_after: Callable[[Exception], float | None] = lambda _: None

    def __post_init__(self) -> None:
        for name in ("in_flight", "in_flight_per_key", "capacity", "capacity_per_group"):
            bound = getattr(self, name)
            if bound is not None and bound < 1:
                raise ValueError(f"{name}: must be 1 or more, or None for no bound")
        if not self.deadline > 0:
            raise ValueError("deadline: must be more than 0 seconds")


@dataclass(slots=True, eq=False)
class Slot(Generic[Q, R]):
    """A request and its place, in the time of the event loop. `until` is when it is given up."""

    number: int
    key: str
    request: Q
    accepted: float
    until: float | None
    asked: int = 0
    expiry: asyncio.TimerHandle | None = None
    outcome: Outcome[Q, R] | None = None


class _TooLate(Exception):
    """The next attempt would begin after the deadline."""


class Calls(Generic[Q, R]):
    """Makes the calls of one step, on an event loop in a thread of its own.

    Args:
        service: the call. It is cancelled at its deadline, and by `close`.
        policy: how it is made.
        observe: told of each request that is called, in that thread: `(request, "queue", seconds)` it waited for its first
            attempt, and `(request, "call", seconds)` from there to the end of the last, pauses included. An error in it ends
            the flow.
    """

    def __init__(
        self,
        service: Callable[[Q], Awaitable[R]],
        policy: CallPolicy[Q],
        observe: Callable[[Q, Literal["queue", "call"], float], None] = lambda _request, _what, _seconds: None,
    ) -> None:
        self.policy = policy
        self._service = service
        self._observe = observe
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._room = Room(policy.capacity, policy.capacity_per_group)
        self._turns = Turns[Slot[Q, R]](policy.in_flight, policy.in_flight_per_key)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: deque[Slot[Q, R]] = deque()
        self._broken: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
        self._thread.start()

    @property
    def outstanding(self) -> int:
        """Requests accepted whose outcome has not left yet."""
        return self._room.held

    @property
    def waiting(self) -> bool:
        """Whether a request waits for its turn."""
        with self._lock:
            return self._turns.waiting

    def must_wait(self) -> bool:
        """Whether the source must hold back: a bound of the capacity is reached, and the policy is to wait."""
        return self.policy.when_full == "wait" and self._room.crowded

    def close(self) -> None:
        """Cancel what is under way and end the thread.

        Raises:
            TimeoutError: a call did not end within `CLOSE` seconds of its cancellation.
        """
        still = asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(2 * CLOSE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if still:
            raise TimeoutError(f"{still} calls went on after they were cancelled")

    def accept(self, request: Q) -> Slot[Q, R] | None:
        """Take a request in. None where the operator is full and its policy is to owe."""
        now, key, owes = self._loop.time(), self.policy.key(request), self.policy.when_full == "owe"
        group = self._group(request)
        until = now + self.policy.deadline if owes else None
        with self._lock:
            if owes and (self._room.full or self._room.key_full(group)):
                return None
            slot = Slot[Q, R](next(self._numbers), key, request, now, until)
            self._room.enter(group)
            self._turns.put(key, slot)
        self._loop.call_soon_threadsafe(self._accepted, slot)
        return slot

    def replace(self, slot: Slot[Q, R]) -> bool:
        """End a request that still waits. False where its call is under way or over."""
        with self._lock:
            if slot.outcome is not None or not self._turns.remove(slot.key, slot):
                return False
            slot.outcome = Outcome(slot.request, None, 0, "replaced")
        if slot.expiry is not None:
            self._loop.call_soon_threadsafe(slot.expiry.cancel)
        return True

    def stop(self, slot: Slot[Q, R]) -> None:
        """End a request that nobody waits for any more, unless it has ended."""
        with self._lock:
            self._turns.remove(slot.key, slot)
            if slot.outcome is None:
                slot.outcome = Outcome(slot.request, None, slot.asked, "stopped")

    def leave(self, slot: Slot[Q, R]) -> None:
        """Free the place of a request whose outcome goes on."""
        with self._lock:
            self._room.leave(self._group(slot.request))

    def _group(self, request: Q) -> str:
        return (self.policy.group or self.policy.key)(request)

    def take_ended(self) -> list[Slot[Q, R]]:
        """What ended since this was last asked.

        Raises:
            Exception: as `check`.
        """
        self.check()
        ended: list[Slot[Q, R]] = []
        while self._ended:
            ended.append(self._ended.popleft())
        return ended

    def check(self) -> None:
        """Raise in the dataflow what can't be an outcome.

        Raises:
            Exception: what `observe` raised.
        """
        if self._broken is not None:
            raise self._broken

    # All below runs in the calls' own thread.

    def _accepted(self, slot: Slot[Q, R]) -> None:
        with self._lock:
            # Replaced in the meantime? Then there must be no timer: nobody would cancel it.
            if slot.until is not None and slot.outcome is None:
                slot.expiry = self._loop.call_at(slot.until, self._expire, slot)
        self._start()

    def _expire(self, slot: Slot[Q, R]) -> None:
        with self._lock:
            waited = self._turns.remove(slot.key, slot)
        if waited:
            self._end(slot, None, "deadline")

    def _start(self) -> None:
        """Make all calls whose turn it is."""
        while not self._closing:
            with self._lock:
                slot = self._turns.take()
            if slot is None:
                return
            if slot.expiry is not None:
                slot.expiry.cancel()
            task = self._loop.create_task(self._run(slot))
            self._tasks.add(task)
            task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()

    def _end(self, slot: Slot[Q, R], result: R | None, reason: str | None) -> None:
        with self._lock:
            if slot.outcome is None:
                slot.outcome = Outcome(slot.request, result, slot.asked, reason)
                self._ended.append(slot)

    async def _run(self, slot: Slot[Q, R]) -> None:
        began = self._loop.time()
        self._observe(slot.request, "queue", began - slot.accepted)
        result, reason = await self._outcome(slot)
        self._observe(slot.request, "call", self._loop.time() - began)
        self._end(slot, result, reason)
        with self._lock:
            self._turns.done(slot.key)
        self._start()

    async def _outcome(self, slot: Slot[Q, R]) -> tuple[R | None, str | None]:
        until = asyncio.timeout_at(slot.until)
        try:
            async with until:
                return await self._attempts(slot), None
        except _TooLate:
            return None, "deadline"
        except asyncio.CancelledError as error:
            if self._closing:
                raise
            # Not ours: the service's own work was cancelled.
            return None, f"failed: {type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - whatever the service raised: there is no result, and the reason says why
            return None, "deadline" if until.expired() else f"failed: {type(error).__name__}"

    async def _attempts(self, slot: Slot[Q, R]) -> R:
        policy = self.policy
        limit = policy.deadline if slot.until is None else None

        def again(error: BaseException) -> bool | float:
            # stamina asks about a cancellation, too: it must go on out.
            if not isinstance(error, Exception):
                return False
            hung = each.expired()
            if not hung and not policy.retryable(error):
                return False
            least = None if hung else policy.retry_after(error)
            pause = max(attempt.next_wait, least or 0.0) + random.uniform(0, attempt.next_wait)  # noqa: S311
            if slot.until is not None and self._loop.time() + pause >= slot.until:
                raise _TooLate
            return pause

        async for attempt in stamina.retry_context(
            on=again, attempts=None, timeout=None, wait_initial=FIRST_RETRY, wait_max=LAST_RETRY, wait_jitter=0
        ):
            with attempt:
                slot.asked += 1
                async with asyncio.timeout(limit) as each:
                    return await self._service(slot.request)
        raise AssertionError("retries without limit end with a result or an error")

    async def _cancel(self) -> int:
        """Cancel the calls; how many went on all the same."""
        self._closing = True
        # What the service itself began on this loop ends with it.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return len((await asyncio.wait(self._tasks, timeout=CLOSE))[1]) if self._tasks else 0
