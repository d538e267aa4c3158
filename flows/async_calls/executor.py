"""Executes asynchronous calls for a dataflow, on an event loop in a separate thread.

The executor bounds concurrency and capacity, queues fairly between keys, retries with backoff, and enforces deadlines.
"""

from __future__ import annotations

import asyncio
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
"""Seconds of exponential backoff between attempts: the first pause and the longest. Random jitter can double each pause."""
CLOSE_TIMEOUT_S = 5.0
"""Seconds that `close` waits for cancelled calls to end."""


@dataclass(frozen=True)
class CallResult(Generic[Q, R]):
    """The outcome of one request.

    Attributes:
        request: the request.
        result: the service's result; None if there is none.
        attempts: number of calls made to the service.
        reason: why there is no result; None if there is one. `capacity`: rejected, because the executor was full.
            `deadline`: the deadline passed. `replaced`: a newer request superseded this one. `stopped`: the flow ended
            first. `failed:` and an error type: the service raised that error.
    """

    request: Q
    result: R | None
    attempts: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallPolicy(Generic[Q]):
    """Limits, deadline and retries of the calls of one executor.

    None means no limit.

    Attributes:
        key: maps a request to its key. Keys take turns. The results of a key are emitted in the order of its requests;
            superseded and rejected requests end at once. The step's input must have the same keys.
        in_flight: maximum number of calls in flight. A call that pauses before a retry counts, so an overloaded service
            gets no other calls in its place.
        in_flight_per_key: maximum number of calls in flight per key.
        capacity: maximum number of outstanding requests. A request is outstanding from `submit` until its result is
            emitted: while it is queued, in flight, or completed behind an earlier request of its key.
        capacity_per_group: maximum number of outstanding requests per group.
        group: maps a request to the group that `capacity_per_group` limits. None uses the key.
        deadline: seconds a request may take. With `on_full="reject"` it covers everything from submission, all attempts
            included. With `on_full="block"` it covers one attempt, and an attempt that exceeds it is retried.
        on_full: what happens at capacity. `reject` ends the request at once with the reason `capacity`. `block` rejects
            none: the source checks `CallExecutor.must_block` before each batch, and reads nothing while it is true.
            Capacity can then be exceeded by the batches already on their way, usually one.
        dedupe_key: maps a request to what it is about. A newer request of the same key and `dedupe_key` supersedes a
            queued one, and is queued last. None supersedes nothing.
        retryable: whether an error is transient, so that a retry may succeed.
        retry_after: minimum seconds before the next attempt, taken from a retryable error (as HTTP's Retry-After). None
            sets no minimum.

    Raises:
        ValueError: a limit is below 1, or the deadline is not positive.
    """

    key: Callable[[Q], str]
    in_flight: int
    in_flight_per_key: int | None = None
    capacity: int
    capacity_per_group: int | None = None
    group: Callable[[Q], str] | None = None
    deadline: float
    on_full: Literal["reject", "block"]
    dedupe_key: Callable[[Q], Hashable] | None = None
    retryable: Callable[[Exception], bool]
    retry_after: Callable[[Exception], float | None] = lambda _: None

    def __post_init__(self) -> None:
        for name in ("in_flight", "in_flight_per_key", "capacity", "capacity_per_group"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name}: must be 1 or more")
        if not self.deadline > 0:
            raise ValueError("deadline: must be more than 0 seconds")


@dataclass(slots=True, eq=False)
class PendingCall(Generic[Q, R]):
    """A submitted request and its state. Times are those of the event loop's clock.

    Attributes:
        key: the request's key.
        request: the request.
        submitted_at: when it was submitted.
        deadline_at: when it expires; None if only each attempt has a deadline.
        attempts: calls made to the service so far.
        expiry: the timer that expires the call while it is queued.
        outcome: how it ended; None until then.
    """

    key: str
    request: Q
    submitted_at: float
    deadline_at: float | None
    attempts: int = 0
    expiry: asyncio.TimerHandle | None = None
    outcome: CallResult[Q, R] | None = None


class _DeadlineExceededError(Exception):
    """The next attempt would start after the deadline."""


class CallExecutor(Generic[Q, R]):
    """Executes the calls of one dataflow step, on an event loop in its own thread.

    Args:
        service: makes one call. It is cancelled at the deadline, and by `close`.
        policy: the limits, deadline and retries.
        observe: receives the timings of each request that is called, in the executor's thread: `(request, phase, seconds)`.
            Phase `queue` is the wait for the first attempt. Phase `call` is from there to the end of the last attempt,
            pauses included. An error in it ends the flow.
    """

    def __init__(
        self,
        service: Callable[[Q], Awaitable[R]],
        policy: CallPolicy[Q],
        observe: Callable[[Q, Literal["queue", "call"], float], None] = lambda _request, _phase, _seconds: None,
    ) -> None:
        self.policy = policy
        self._service = service
        self._observe = observe
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
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
        """Number of submitted requests whose result is not released yet."""
        return self._capacity.held

    @property
    def waiting(self) -> bool:
        """Whether any request is queued."""
        with self._lock:
            return self._queue.waiting

    def must_block(self) -> bool:
        """Whether the source must stop reading (backpressure): a capacity limit is reached, and the policy is `block`."""
        return self.policy.on_full == "block" and self._capacity.saturated

    def close(self) -> None:
        """Cancel the calls in flight and end the thread.

        Raises:
            TimeoutError: a call did not end within `CLOSE_TIMEOUT_S` seconds of its cancellation.
        """
        still_running = asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(2 * CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if still_running:
            raise TimeoutError(f"{still_running} calls are still running after their cancellation")

    def submit(self, request: Q) -> PendingCall[Q, R] | None:
        """Queue a request.

        Returns:
            The pending call; None if the executor is full and its policy is `reject`.
        """
        now, key, rejects = self._loop.time(), self.policy.key(request), self.policy.on_full == "reject"
        group = self._group(request)
        deadline_at = now + self.policy.deadline if rejects else None
        with self._lock:
            if rejects and (self._capacity.full or self._capacity.key_saturated(group)):
                return None
            call = PendingCall[Q, R](key, request, now, deadline_at)
            self._capacity.acquire(group)
            self._queue.enqueue(key, call)
        self._loop.call_soon_threadsafe(self._submitted, call)
        return call

    def supersede(self, call: PendingCall[Q, R]) -> bool:
        """End a queued request with the reason `replaced`. False if it is in flight or has ended."""
        with self._lock:
            if call.outcome is not None or not self._queue.cancel(call.key, call):
                return False
            call.outcome = CallResult(call.request, None, 0, "replaced")
        if call.expiry is not None:
            self._loop.call_soon_threadsafe(call.expiry.cancel)
        return True

    def abandon(self, call: PendingCall[Q, R]) -> None:
        """End a request with the reason `stopped`, unless it has ended already."""
        with self._lock:
            self._queue.cancel(call.key, call)
            if call.outcome is None:
                call.outcome = CallResult(call.request, None, call.attempts, "stopped")

    def release(self, call: PendingCall[Q, R]) -> None:
        """Free the capacity of a request whose result is emitted."""
        with self._lock:
            self._capacity.release(self._group(call.request))

    def _group(self, request: Q) -> str:
        return (self.policy.group or self.policy.key)(request)

    def take_completed(self) -> list[PendingCall[Q, R]]:
        """Take the calls that completed since the last time.

        Raises:
            Exception: as `raise_if_broken`.
        """
        self.raise_if_broken()
        completed: list[PendingCall[Q, R]] = []
        while self._completed:
            completed.append(self._completed.popleft())
        return completed

    def raise_if_broken(self) -> None:
        """Raise the error that broke the executor, in the dataflow's thread.

        Raises:
            Exception: the error that `observe` raised.
        """
        if self._broken is not None:
            raise self._broken

    # Everything below runs in the executor's thread.

    def _submitted(self, call: PendingCall[Q, R]) -> None:
        with self._lock:
            # A call that was superseded meanwhile gets no timer: nothing would cancel it.
            if call.deadline_at is not None and call.outcome is None:
                call.expiry = self._loop.call_at(call.deadline_at, self._expire, call)
        self._start()

    def _expire(self, call: PendingCall[Q, R]) -> None:
        with self._lock:
            was_queued = self._queue.cancel(call.key, call)
        if was_queued:
            self._complete(call, None, "deadline")

    def _start(self) -> None:
        """Start all queued calls that the limits allow."""
        while not self._closing:
            with self._lock:
                call = self._queue.dequeue()
            if call is None:
                return
            if call.expiry is not None:
                call.expiry.cancel()
            task = self._loop.create_task(self._run(call))
            self._tasks.add(task)
            task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()

    def _complete(self, call: PendingCall[Q, R], result: R | None, reason: str | None) -> None:
        with self._lock:
            if call.outcome is None:
                call.outcome = CallResult(call.request, result, call.attempts, reason)
                self._completed.append(call)

    async def _run(self, call: PendingCall[Q, R]) -> None:
        started_at = self._loop.time()
        self._observe(call.request, "queue", started_at - call.submitted_at)
        result, reason = await self._result_of(call)
        self._observe(call.request, "call", self._loop.time() - started_at)
        self._complete(call, result, reason)
        with self._lock:
            self._queue.finish(call.key)
        self._start()

    async def _result_of(self, call: PendingCall[Q, R]) -> tuple[R | None, str | None]:
        timeout = asyncio.timeout_at(call.deadline_at)
        try:
            async with timeout:
                return await self._attempts(call), None
        except _DeadlineExceededError:
            return None, "deadline"
        except asyncio.CancelledError as error:
            if self._closing:
                raise
            # The service cancelled work of its own: that is one of its errors.
            return None, f"failed: {type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - any error of the service becomes the reason
            return None, "deadline" if timeout.expired() else f"failed: {type(error).__name__}"

    async def _attempts(self, call: PendingCall[Q, R]) -> R:
        policy = self.policy
        attempt_deadline = policy.deadline if call.deadline_at is None else None

        def should_retry(error: BaseException) -> bool | float:
            # stamina also asks about cancellations, which must propagate.
            if not isinstance(error, Exception):
                return False
            timed_out = attempt_timeout.expired()
            if not timed_out and not policy.retryable(error):
                return False
            retry_after = None if timed_out else policy.retry_after(error)
            jitter = random.uniform(0, attempt.next_wait)  # noqa: S311 - jitter is no secret
            pause = max(attempt.next_wait, retry_after or 0.0) + jitter
            if call.deadline_at is not None and self._loop.time() + pause >= call.deadline_at:
                raise _DeadlineExceededError
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
                call.attempts += 1
                async with asyncio.timeout(attempt_deadline) as attempt_timeout:
                    return await self._service(call.request)
        raise AssertionError("unlimited retries end with a result or an error")

    async def _cancel(self) -> int:
        """Cancel the calls.

        Returns:
            How many did not end in time.
        """
        self._closing = True
        # This includes tasks that the service started on this loop.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return len((await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S))[1]) if self._tasks else 0
