"""Tests serve/insight/ranked_slots.py."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from serve.insight.ranked_slots import RankedSlots


async def settle() -> None:
    """Let all tasks run until each waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class Workers:
    """Tasks that hold a slot until told to end."""

    def __init__(self, slots: RankedSlots) -> None:
        self._slots = slots
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.order: list[str] = []
        self.holding: set[str] = set()

    async def add(self, name: str, rank: int) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, rank))
        await settle()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def _work(self, name: str, rank: int) -> None:
        async with self._slots.hold(rank):
            self.order.append(name)
            self.holding.add(name)
            try:
                await self._ends[name].wait()
            finally:
                self.holding.remove(name)


async def test_low_ranks_come_first_and_equal_ones_in_their_order() -> None:
    workers = Workers(RankedSlots(1))
    for name, rank in (("first", 1), ("insight", 1), ("later insight", 1), ("note", 0)):
        await workers.add(name, rank)
    for name in ("first", "note", "insight", "later insight"):
        assert workers.holding == {name}
        await workers.end(name)
    assert workers.order == ["first", "note", "insight", "later insight"]


async def test_more_slots_let_those_in_that_wait_and_fewer_interrupt_none() -> None:
    slots = RankedSlots(1)
    workers = Workers(slots)
    for name in "abc":
        await workers.add(name, 1)
    slots.resize(3)
    await settle()
    assert workers.holding == {"a", "b", "c"}
    slots.resize(1)
    await workers.add("d", 0)
    await workers.end("a")
    await workers.end("b")
    assert workers.holding == {"c"}
    await workers.end("c")
    assert workers.holding == {"d"}


async def test_a_slot_that_was_given_to_a_cancelled_waiter_is_given_on() -> None:
    workers = Workers(RankedSlots(1))
    for name in "abc":
        await workers.add(name, 1)
    # `b` has the slot and is cancelled before it runs.
    workers.tasks["a"].cancel()
    await asyncio.sleep(0)
    workers.tasks["b"].cancel()
    await settle()
    assert workers.holding == {"c"}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["end", "cancel"]), st.integers(0, 30)),
        st.tuples(st.just("resize"), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(steps)
def test_no_slot_is_lost_or_given_twice(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        limit, most = 2, 2
        slots = RankedSlots(limit)
        workers = Workers(slots)
        for number, (kind, value) in enumerate(steps):
            names = sorted(name for name, task in workers.tasks.items() if not task.done())
            if kind == "add":
                await workers.add(f"{number:02}", value)
            elif kind == "resize":
                limit, most = value, max(most, value)
                slots.resize(limit)
                await settle()
            elif names:
                name = names[value % len(names)]
                await (workers.end(name) if kind == "end" else workers.cancel(name))
            unfinished = sum(not task.done() for task in workers.tasks.values())
            assert min(unfinished, limit) <= len(workers.holding) <= min(unfinished, most)
        for task in workers.tasks.values():
            task.cancel()
        await settle()

    asyncio.run(run())
