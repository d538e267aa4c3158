"""Asynchronous calls in a Bytewax dataflow: a stream never waits for a model.

After Flink's asynchronous I/O (Apache Flink, "Asynchronous I/O for External Data Access", FLIP-12): answers of a key leave
in the order of its requests, a capacity bounds what is in flight, each call has a deadline. Added to that: a newer request
for the same thing replaces one that still waits, and a full operator either makes its source wait or leaves the call owed.
The dataflow is woken by a source that yields the key of each call that ends, so no key polls.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Generic, Literal, TypeVar

import bytewax.operators as op
import stamina
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic

Q = TypeVar("Q")
R = TypeVar("R")

FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds between attempts: the first wait, and what it grows to."""


@dataclass(frozen=True)
class Outcome(Generic[Q, R]):
    """How a request ended: with a result, or (None) owed, with the reason. `asked` calls were made."""

    request: Q
    result: R | None
    asked: int
    reason: str | None = None


@dataclass(frozen=True)
class CallPolicy(Generic[Q]):
    """How calls are made.

    Attributes:
        key: what is kept in order.
        same: two requests of a key with the same value are about the same thing: the newer replaces the waiting one.
        in_flight: calls under way at once.
        capacity: requests accepted and not yet answered, those under way included.
        deadline: seconds a call may take: over all its attempts where `when_full` is `owe`, each attempt where it is `wait`.
        when_full: `owe` gives a request up at once and lets the stream go on; `wait` makes the source wait.
        retryable: whether an error may pass if the call is made again.
    """

    key: Callable[[Q], str]
    same: Callable[[Q], Hashable]
    in_flight: int
    capacity: int
    deadline: float
    when_full: Literal["owe", "wait"]
    retryable: Callable[[Exception], bool]


class _Stage(Enum):
    WAITING = auto()
    CALLING = auto()
    DONE = auto()
    REPLACED = auto()


@dataclass(slots=True)
class _Slot(Generic[Q, R]):
    """A request's place in its key's order. `until` is when it is given up, in the time of the calls' event loop."""

    request: Q
    until: float | None
    stage: _Stage = _Stage.WAITING
    asked: int = 0
    outcome: Outcome[Q, R] | None = None


class Calls(Generic[Q, R]):
    """Makes the calls of one dataflow on an event loop of its own thread.

    Args:
        service: the call.
        policy: how it is made.
    """

    def __init__(self, service: Callable[[Q], Awaitable[R]], policy: CallPolicy[Q]) -> None:
        self.policy = policy
        self._service = service
        self._loop = asyncio.new_event_loop()
        self._turn = asyncio.Semaphore(policy.in_flight)
        self._lock = threading.Lock()
        self._outstanding = 0
        self._ended: deque[str] = deque()
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
        self._thread.start()

    @property
    def outstanding(self) -> int:
        """Requests accepted and not yet answered."""
        return self._outstanding

    def must_wait(self) -> bool:
        """Whether the source must hold back: the operator is full and its policy is to wait."""
        return self.policy.when_full == "wait" and self._outstanding >= self.policy.capacity

    def full(self) -> bool:
        """Whether a further request is given up at once: the operator is full and its policy is to owe."""
        return self.policy.when_full == "owe" and self._outstanding >= self.policy.capacity

    def submit(self, request: Q) -> _Slot[Q, R]:
        """Take a request in; its turn comes in the order of submission."""
        owes = self.policy.when_full == "owe"
        slot = _Slot[Q, R](request, self._loop.time() + self.policy.deadline if owes else None)
        with self._lock:
            self._outstanding += 1
        asyncio.run_coroutine_threadsafe(self._run(slot), self._loop)
        return slot

    def replace(self, slot: _Slot[Q, R]) -> bool:
        """Close the place of a request that still waits. False where its call is under way or over."""
        with self._lock:
            if slot.stage is not _Stage.WAITING:
                return False
            slot.stage = _Stage.REPLACED
            self._outstanding -= 1
            return True

    def take_ended(self) -> list[str]:
        """The keys of calls that ended since this was last asked, each once."""
        keys: dict[str, None] = {}
        while self._ended:
            keys[self._ended.popleft()] = None
        return list(keys)

    def close(self) -> None:
        """Give up what is under way and end the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, slot: _Slot[Q, R]) -> None:
        try:
            async with asyncio.timeout_at(slot.until), self._turn:
                with self._lock:
                    if slot.stage is _Stage.REPLACED:
                        return
                    slot.stage = _Stage.CALLING
                result = await self._attempts(slot, self.policy.deadline if slot.until is None else None)
            slot.outcome = Outcome(slot.request, result, slot.asked)
        except TimeoutError:
            slot.outcome = Outcome(slot.request, None, slot.asked, "deadline")
        except Exception as error:  # noqa: BLE001 - whatever the service raised: the request stays owed, with the reason
            slot.outcome = Outcome(slot.request, None, slot.asked, f"failed: {type(error).__name__}")
        finally:
            with self._lock:
                if slot.stage is not _Stage.REPLACED:
                    self._outstanding -= 1
                    slot.stage = _Stage.DONE
            self._ended.append(self.policy.key(slot.request))

    async def _attempts(self, slot: _Slot[Q, R], each: float | None) -> R:
        def again(error: Exception) -> bool:
            # Waiting for good is what the policy asks for: a call that hangs is made anew.
            return self.policy.retryable(error) or (each is not None and isinstance(error, TimeoutError))

        async for attempt in stamina.retry_context(
            on=again,
            attempts=None,
            timeout=None,
            wait_initial=FIRST_RETRY,
            wait_max=LAST_RETRY,
            wait_jitter=FIRST_RETRY,
        ):
            with attempt:
                slot.asked += 1
                async with asyncio.timeout(each):
                    return await self._service(slot.request)
        raise AssertionError("retries without limit end with a result or an error")


class _Ended:
    """Says to a key that one of its calls ended."""


_ENDED = _Ended()


class _Logic(StatefulBatchLogic["Q | _Ended", Outcome[Q, R], None], Generic[Q, R]):
    """The places of one key, in order."""

    def __init__(self, calls: Calls[Q, R]) -> None:
        self._calls = calls
        self._slots: deque[_Slot[Q, R]] = deque()

    def on_batch(self, values: list[Q | _Ended]) -> tuple[Iterable[Outcome[Q, R]], bool]:
        out: list[Outcome[Q, R]] = []
        for value in values:
            if not isinstance(value, _Ended):
                self._accept(value, out)
        while self._slots and self._slots[0].stage in (_Stage.DONE, _Stage.REPLACED):
            slot = self._slots.popleft()
            if slot.stage is _Stage.DONE and slot.outcome is not None:
                out.append(slot.outcome)
        return out, not self._slots

    def _accept(self, request: Q, out: list[Outcome[Q, R]]) -> None:
        same = self._calls.policy.same
        for slot in self._slots:
            if same(slot.request) == same(request) and self._calls.replace(slot):
                break
        if self._calls.full():
            out.append(Outcome(request, None, 0, "capacity"))
            return
        self._slots.append(self._calls.submit(request))

    def on_notify(self) -> tuple[Iterable[Outcome[Q, R]], bool]:
        return (), False

    def on_eof(self) -> tuple[Iterable[Outcome[Q, R]], bool]:
        # The source of ended calls has waited for them as long as it may: what is left stays owed.
        return (), True

    def notify_at(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


class _EndedPartition(StatelessSourcePartition[tuple[str, _Ended]]):
    def __init__(self, calls: Calls[object, object], over: Callable[[], bool]) -> None:
        self._calls, self._over = calls, over

    def next_batch(self) -> list[tuple[str, _Ended]]:
        # Asked first: a call that ends in between is still handed on by the next batch.
        over = self._over()
        keys = self._calls.take_ended()
        if over and not keys:
            raise StopIteration
        return [(key, _ENDED) for key in keys]

    def next_awake(self) -> datetime | None:
        return None


class _EndedSource(DynamicSource[tuple[str, _Ended]]):
    def __init__(self, calls: Calls[object, object], over: Callable[[], bool]) -> None:
        self._partition = (calls, over)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _EndedPartition:
        return _EndedPartition(*self._partition)


def call(
    step_id: str, flow: Dataflow, up: KeyedStream[Q], calls: Calls[Q, R], over: Callable[[], bool]
) -> KeyedStream[Outcome[Q, R]]:
    """Make an asynchronous call for each request.

    Args:
        step_id: name of the step.
        flow: the dataflow.
        up: requests, keyed as `calls.policy.key` says.
        calls: makes them.
        over: true once no more calls are worth waiting for; the step then ends when its other input has.

    Returns:
        An outcome for each request that was not replaced, keyed alike, results in the order of the requests of each key.
    """
    ended = op.input(f"{step_id}_ended", flow, _EndedSource(calls, over))  # pyright: ignore[reportArgumentType]
    merged = op.merge(f"{step_id}_merge", up, ended)
    return op.stateful_batch(step_id, merged, lambda _: _Logic(calls))  # pyright: ignore[reportArgumentType, reportReturnType]
