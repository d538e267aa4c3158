"""Bounds and turns, checked against what they promise after any sequence of steps."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flows.async_calls.fair_queue import CapacityCounter, FairQueue

BOUNDS = st.one_of(st.none(), st.integers(1, 4))
KEYS = st.sampled_from("abcd")


@settings(stateful_step_count=60)
class TurnsKeepTheirPromises(RuleBasedStateMachine):
    """`waiting` and `under_way` say what should be so; `passed` counts, for each key that may go on, who went before it."""

    @initialize(at_once=BOUNDS, per_key=BOUNDS)
    def begin(self, at_once: int | None, per_key: int | None) -> None:
        self.turns = FairQueue[int](at_once, per_key)
        self.at_once, self.per_key = at_once, per_key
        self.waiting: list[tuple[str, int]] = []
        self.under_way: Counter[str] = Counter()
        self.passed: dict[str, Counter[str]] = {}
        self.next = 0

    def _may_go_on(self) -> set[str]:
        return {key for key, _ in self.waiting if self.per_key is None or self.under_way[key] < self.per_key}

    def _line_up(self) -> None:
        self.passed = {key: self.passed.get(key, Counter()) for key in self._may_go_on()}

    @rule(key=KEYS, count=st.integers(1, 6))
    def put(self, key: str, count: int) -> None:
        for _ in range(count):
            self.turns.enqueue(key, self.next)
            self.waiting.append((key, self.next))
            self.next += 1
        self._line_up()

    @rule()
    def take(self) -> None:
        item = self.turns.dequeue()
        full = self.at_once is not None and self.under_way.total() >= self.at_once
        if full or not self._may_go_on():
            assert item is None
            return
        assert item is not None, "something may go on, and nothing does"
        [key] = [key for key, waits in self.waiting if waits == item]
        assert item == min(waits for other, waits in self.waiting if other == key), "a key's order was broken"
        self.waiting.remove((key, item))
        self.under_way[key] += 1
        self.passed.pop(key, None)
        for before in self.passed.values():
            before[key] += 1
        self._line_up()

    @precondition(lambda self: self.under_way.total())
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.under_way.elements())))
        self.turns.finish(key)
        self.under_way[key] -= 1
        self._line_up()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        key, item = data.draw(st.sampled_from(self.waiting))
        assert self.turns.cancel(key, item)
        assert not self.turns.cancel(key, item)
        self.waiting.remove((key, item))
        self._line_up()

    @invariant()
    def nobody_goes_twice_before_a_key_that_waits(self) -> None:
        assert all(times <= 1 for before in self.passed.values() for times in before.values())

    @invariant()
    def bounds_hold(self) -> None:
        assert self.at_once is None or self.under_way.total() <= self.at_once
        assert self.per_key is None or all(count <= self.per_key for count in self.under_way.values())


TestTurns = TurnsKeepTheirPromises.TestCase


def test_a_key_with_one_item_waits_for_one_turn_of_a_key_with_a_thousand() -> None:
    turns = FairQueue[str](1, None)
    for k in range(1000):
        turns.enqueue("busy", f"busy {k}")
    turns.enqueue("quiet", "quiet")
    went: list[str | None] = []
    for key in ("busy", "quiet", "busy"):
        went.append(turns.dequeue())
        turns.finish(key)
    assert went == ["busy 0", "quiet", "busy 1"]


def test_what_is_under_way_waits_no_more() -> None:
    turns = FairQueue[str](1, None)
    assert not turns.waiting
    turns.enqueue("k", "one")
    assert turns.waiting
    turns.dequeue()
    assert not turns.waiting
    turns.enqueue("k", "two")
    assert turns.waiting
    turns.cancel("k", "two")
    assert not turns.waiting


@given(most=BOUNDS, per_key=BOUNDS, steps=st.lists(st.tuples(KEYS, st.booleans()), max_size=60))
def test_room_says_which_bounds_are_reached(
    most: int | None, per_key: int | None, steps: list[tuple[str, bool]]
) -> None:
    room, held = CapacityCounter(most, per_key), Counter[str]()
    for key, enters in steps:
        if enters:
            room.acquire(key)
            held[key] += 1
        elif held[key]:
            room.release(key)
            held[key] -= 1
        assert room.held == held.total()
        assert room.full == (most is not None and held.total() >= most)
        full_keys = {k for k in "abcd" if per_key is not None and held[k] >= per_key}
        assert {k for k in "abcd" if room.key_saturated(k)} == full_keys
        assert room.saturated == (room.full or bool(full_keys))
