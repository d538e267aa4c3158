"""flows/async_calls/fair_queue.py: the contracts of the capacity counter and the fair queue, for any sequence of steps."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flows.async_calls.fair_queue import CapacityCounter, FairQueue

LIMITS = st.integers(1, 4)
KEYS = st.sampled_from("abcd")


@settings(stateful_step_count=60)
class FairQueueMachine(RuleBasedStateMachine):
    """A model of the queue. `served_before` has for each ready key how often each other key was served since it was ready."""

    @initialize(max_in_flight=LIMITS, per_key=st.none() | LIMITS)
    def begin(self, max_in_flight: int, per_key: int | None) -> None:
        self.queue = FairQueue[int](max_in_flight, per_key)
        self.max_in_flight, self.per_key = max_in_flight, per_key
        self.queued: list[tuple[str, int]] = []
        self.in_flight: Counter[str] = Counter()
        self.served_before: dict[str, Counter[str]] = {}
        self.next = 0

    def _ready_keys(self) -> set[str]:
        return {key for key, _ in self.queued if self.per_key is None or self.in_flight[key] < self.per_key}

    def _requeue(self) -> None:
        self.served_before = {key: self.served_before.get(key, Counter()) for key in self._ready_keys()}

    @rule(key=KEYS, count=st.integers(1, 6))
    def enqueue(self, key: str, count: int) -> None:
        for _ in range(count):
            self.queue.enqueue(key, self.next)
            self.queued.append((key, self.next))
            self.next += 1
        self._requeue()

    @rule()
    def dequeue(self) -> None:
        item = self.queue.dequeue()
        full = self.in_flight.total() >= self.max_in_flight
        if full or not self._ready_keys():
            assert item is None
            return
        assert item is not None, "a key is ready, and nothing was dequeued"
        [key] = [key for key, queued in self.queued if queued == item]
        assert item == min(queued for other, queued in self.queued if other == key), "a key's order was broken"
        self.queued.remove((key, item))
        self.in_flight[key] += 1
        self.served_before.pop(key, None)
        for before in self.served_before.values():
            before[key] += 1
        self._requeue()

    @precondition(lambda self: self.in_flight.total())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.in_flight.elements())))
        self.queue.finish(key)
        self.in_flight[key] -= 1
        self._requeue()

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key, item = data.draw(st.sampled_from(self.queued))
        assert self.queue.cancel(key, item)
        assert not self.queue.cancel(key, item)
        self.queued.remove((key, item))
        self._requeue()

    @invariant()
    def no_key_is_served_twice_before_a_ready_key(self) -> None:
        assert all(times <= 1 for before in self.served_before.values() for times in before.values())

    @invariant()
    def limits_hold(self) -> None:
        assert self.in_flight.total() <= self.max_in_flight
        assert self.per_key is None or all(count <= self.per_key for count in self.in_flight.values())


TestFairQueue = FairQueueMachine.TestCase


def test_a_key_with_one_item_waits_for_one_turn_of_a_key_with_a_thousand() -> None:
    queue = FairQueue[str](1, None)
    for k in range(1000):
        queue.enqueue("busy", f"busy {k}")
    queue.enqueue("quiet", "quiet")
    dequeued: list[str | None] = []
    for key in ("busy", "quiet", "busy"):
        dequeued.append(queue.dequeue())
        queue.finish(key)
    assert dequeued == ["busy 0", "quiet", "busy 1"]


def test_an_item_in_flight_is_no_longer_queued() -> None:
    queue = FairQueue[str](1, None)
    assert not queue.waiting
    queue.enqueue("k", "one")
    assert queue.waiting
    queue.dequeue()
    assert not queue.waiting
    queue.enqueue("k", "two")
    assert queue.waiting
    queue.cancel("k", "two")
    assert not queue.waiting


@given(limit=LIMITS, per_key=st.none() | LIMITS, steps=st.lists(st.tuples(KEYS, st.booleans()), max_size=60))
def test_the_counter_reports_which_limits_are_reached(
    limit: int, per_key: int | None, steps: list[tuple[str, bool]]
) -> None:
    counter, held = CapacityCounter(limit, per_key), Counter[str]()
    for key, acquires in steps:
        if acquires:
            counter.acquire(key)
            held[key] += 1
        elif held[key]:
            counter.release(key)
            held[key] -= 1
        assert counter.held == held.total()
        assert counter.full == (held.total() >= limit)
        full_keys = {k for k in "abcd" if per_key is not None and held[k] >= per_key}
        assert {k for k in "abcd" if counter.key_saturated(k)} == full_keys
        assert counter.saturated == (counter.full or bool(full_keys))
