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

from flows.async_calls.fair_queue import CapacityCounter, FairQueue

Q = TypeVar("Q")
R = TypeVar("R")

FIRST_RETRY_S, LAST_RETRY_S = 0.1, 2.5
"""Seconds between attempts: the least after the first, and what that doubles up to. Chance adds up to as much again."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds that calls get to end once they are cancelled."""


@dataclass(frozen=True)
class CallResult(Generic[Q, R]):
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
    attempts: int
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
        deadline: seconds a request may take: from its acceptance over all attempts where `on_full` is `reject`, each attempt
            where it is `block`, and then a call that takes longer is made anew.
        on_full: `reject` gives a request beyond capacity up at once and lets the stream go on. `block` never gives one up: the
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
    on_full: Literal["reject", "block"]
    order: Literal["ordered", "unordered"] = "ordered"
    dedupe_key: Callable[[Q], Hashable] | None = None
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
class PendingCall(Generic[Q, R]):
    """A request and its place, in the time of the event loop. `until` is when it is given up."""

    number: int
    key: str
    request: Q
    submitted_at: float
    deadline_at: float | None
    attempts: int = 0
    expiry: asyncio.TimerHandle | None = None
    outcome: CallResult[Q, R] | None = None


class _DeadlineExceeded(Exception):
    """The next attempt would begin after the deadline."""


class CallExecutor(Generic[Q, R]):
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
        self._capacity = CapacityCounter(policy.capacity, policy.capacity_per_group)
        self._queue = FairQueue[PendingCall[Q, R]](policy.in_flight, policy.in_flight_per_key)
        self._tasks: set[asyncio.Task[None]] = set()
        self._completed: deque[PendingCall[Q, R]] = deque()
        self._broken: BaseException | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
        self._thread.start()

    @property
    def outstanding(self) -> int:
        """Requests accepted whose outcome has not left yet."""
        return self._capacity.held

    @property
    def waiting(self) -> bool:
        """Whether a request waits for its turn."""
        with self._lock:
            return self._queue.waiting

    def must_block(self) -> bool:
        """Whether the source must hold back: a bound of the capacity is reached, and the policy is to wait."""
        return self.policy.on_full == "block" and self._capacity.saturated

    def close(self) -> None:
        """Cancel what is under way and end the thread.

        Raises:
            TimeoutError: a call did not end within `CLOSE` seconds of its cancellation.
        """
        still = asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(2 * CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if still:
            raise TimeoutError(f"{still} calls went on after they were cancelled")

    def submit(self, request: Q) -> PendingCall[Q, R] | None:
        """Take a request in. None where the operator is full and its policy is to owe."""
        now, key, owes = self._loop.time(), self.policy.key(request), self.policy.on_full == "reject"
        group = self._group(request)
        until = now + self.policy.deadline if owes else None
        with self._lock:
            if owes and (self._capacity.full or self._capacity.key_saturated(group)):
                return None
            slot = PendingCall[Q, R](next(self._numbers), key, request, now, until)
            self._capacity.acquire(group)
            self._queue.enqueue(key, slot)
        self._loop.call_soon_threadsafe(self._submitted, slot)
        return slot

    def supersede(self, slot: PendingCall[Q, R]) -> bool:
        """End a request that still waits. False where its call is under way or over."""
        with self._lock:
            if slot.outcome is not None or not self._queue.cancel(slot.key, slot):
                return False
            slot.outcome = CallResult(slot.request, None, 0, "replaced")
        if slot.expiry is not None:
            self._loop.call_soon_threadsafe(slot.expiry.cancel)
        return True

    def abandon(self, slot: PendingCall[Q, R]) -> None:
        """End a request that nobody waits for any more, unless it has ended."""
        with self._lock:
            self._queue.cancel(slot.key, slot)
            if slot.outcome is None:
                slot.outcome = CallResult(slot.request, None, slot.attempts, "stopped")

    def release(self, slot: PendingCall[Q, R]) -> None:
        """Free the place of a request whose outcome goes on."""
        with self._lock:
            self._capacity.release(self._group(slot.request))

    def _group(self, request: Q) -> str:
        return (self.policy.group or self.policy.key)(request)

    def take_completed(self) -> list[PendingCall[Q, R]]:
        """What ended since this was last asked.

        Raises:
            Exception: as `check`.
        """
        self.raise_if_broken()
        ended: list[PendingCall[Q, R]] = []
        while self._completed:
            ended.append(self._completed.popleft())
        return ended

    def raise_if_broken(self) -> None:
        """Raise in the dataflow what can't be an outcome.

        Raises:
            Exception: what `observe` raised.
        """
        if self._broken is not None:
            raise self._broken

    # All below runs in the calls' own thread.

    def _submitted(self, slot: PendingCall[Q, R]) -> None:
        with self._lock:
            # Replaced in the meantime? Then there must be no timer: nobody would cancel it.
            if slot.deadline_at is not None and slot.outcome is None:
                slot.expiry = self._loop.call_at(slot.deadline_at, self._expire, slot)
        self._start()

    def _expire(self, slot: PendingCall[Q, R]) -> None:
        with self._lock:
            waited = self._queue.cancel(slot.key, slot)
        if waited:
            self._complete(slot, None, "deadline")

    def _start(self) -> None:
        """Make all calls whose turn it is."""
        while not self._closing:
            with self._lock:
                slot = self._queue.dequeue()
            if slot is None:
                return
            if slot.expiry is not None:
                slot.expiry.cancel()
            task = self._loop.create_task(self._run(slot))
            self._tasks.add(task)
            task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()

    def _complete(self, slot: PendingCall[Q, R], result: R | None, reason: str | None) -> None:
        with self._lock:
            if slot.outcome is None:
                slot.outcome = CallResult(slot.request, result, slot.attempts, reason)
                self._completed.append(slot)

    async def _run(self, slot: PendingCall[Q, R]) -> None:
        began = self._loop.time()
        self._observe(slot.request, "queue", began - slot.submitted_at)
        result, reason = await self._result_of(slot)
        self._observe(slot.request, "call", self._loop.time() - began)
        self._complete(slot, result, reason)
        with self._lock:
            self._queue.finish(slot.key)
        self._start()

    async def _result_of(self, slot: PendingCall[Q, R]) -> tuple[R | None, str | None]:
        until = asyncio.timeout_at(slot.deadline_at)
        try:
            async with until:
                return await self._attempts(slot), None
        except _DeadlineExceeded:
            return None, "deadline"
        except asyncio.CancelledError as error:
            if self._closing:
                raise
            # Not ours: the service's own work was cancelled.
            return None, f"failed: {type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - whatever the service raised: there is no result, and the reason says why
            return None, "deadline" if until.expired() else f"failed: {type(error).__name__}"

    async def _attempts(self, slot: PendingCall[Q, R]) -> R:
        policy = self.policy
        limit = policy.deadline if slot.deadline_at is None else None

        def should_retry(error: BaseException) -> bool | float:
            # stamina asks about a cancellation, too: it must go on out.
            if not isinstance(error, Exception):
                return False
            hung = each.expired()
            if not hung and not policy.retryable(error):
                return False
            least = None if hung else policy.retry_after(error)
            pause = max(attempt.next_wait, least or 0.0) + random.uniform(0, attempt.next_wait)  # noqa: S311
            if slot.deadline_at is not None and self._loop.time() + pause >= slot.deadline_at:
                raise _DeadlineExceeded
            return pause

        async for attempt in stamina.retry_context(
            on=should_retry,
            attempts=None,
            timeout=None,
            wait_initial=FIRST_RETRY_S,
            wait_max=LAST_RETRY_S,
            wait_jitter=0,
        ):
            with attempt:
                slot.attempts += 1
                async with asyncio.timeout(limit) as each:
                    return await self._service(slot.request)
        raise AssertionError("retries without limit end with a result or an error")

    async def _cancel(self) -> int:
        """Cancel the calls; how many went on all the same."""
        self._closing = True
        # What the service itself began on this loop ends with it.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return len((await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S))[1]) if self._tasks else 0
