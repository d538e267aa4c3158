from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from operators.dedup import REVISION_HORIZON_MS
from operators.entries import Tick
from operators.ticks import TICK_DELAYS_MS, TickState, after_entry, due, next_due


def test_nothing_is_due_before_the_first_entry() -> None:
    assert next_due(TickState()) is None
    assert due(TickState(), "m", 10**15) == (TickState(), [])


def test_ticks_are_due_at_their_delays_after_the_last_entry() -> None:
    state = after_entry(TickState(), 1_000)
    state, ticks = due(state, "m", 1_000 + TICK_DELAYS_MS[1])
    assert ticks == [Tick("m", 1_000 + TICK_DELAYS_MS[0], 1), Tick("m", 1_000 + TICK_DELAYS_MS[1], 2)]
    assert next_due(state) == 1_000 + TICK_DELAYS_MS[2]


def test_tick_precedes_an_entry_at_the_same_time() -> None:
    state = after_entry(TickState(), 0)
    _, ticks = due(state, "m", TICK_DELAYS_MS[0])
    assert [tick.at for tick in ticks] == [TICK_DELAYS_MS[0]]


def test_entry_restarts_the_schedule() -> None:
    state, _ = due(after_entry(TickState(), 0), "m", 3_000)
    assert after_entry(state, 3_100) == TickState(3_100, 0)


def test_the_last_tick_is_idle_and_nothing_follows_until_the_meeting_reopens() -> None:
    state, ticks = due(after_entry(TickState(), 0), "m", 10**12)
    assert [tick.is_idle for tick in ticks] == [False] * (len(TICK_DELAYS_MS) - 1) + [True]
    assert ticks[-1].at == 1_800_000
    assert next_due(state) is None
    assert next_due(after_entry(state, 2_000_000)) == 2_000_000 + TICK_DELAYS_MS[0]


def test_a_tick_is_past_the_revision_horizon() -> None:
    assert list(TICK_DELAYS_MS) == sorted(set(TICK_DELAYS_MS))
    assert any(REVISION_HORIZON_MS < delay < TICK_DELAYS_MS[-1] for delay in TICK_DELAYS_MS)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2_000_000), max_size=20))
def test_polling_more_often_gives_the_same_ticks(asked: list[int]) -> None:
    state = after_entry(TickState(), 0)
    _, at_once = due(state, "m", 2_000_000)
    ticks: list[Tick] = []
    for until in [*sorted(asked), 2_000_000]:
        state, some = due(state, "m", until)
        state = TypeAdapter(TickState).validate_json(TypeAdapter(TickState).dump_json(state))
        ticks += some
    assert ticks == at_once
