"""The schedule of ticks in a quiet meeting, relative to the meeting's last entry.

The schedule is pure, so a live source and a replay insert the same ticks between the same entries.
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.entries import Tick

TICK_DELAYS_MS = (200, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 10_000, 30_000, 121_000, 1_800_000)
"""Milliseconds after the last entry. The first ticks emit sentences, 121 s is past the revision horizon, the last one is the
meeting's timeout."""


@dataclass(frozen=True, slots=True)
class TickState:
    """The arrival time of a meeting's last entry (ms), and the number of ticks since then. Initially no tick is due."""

    last_at: int = 0
    k: int = len(TICK_DELAYS_MS)


def after_entry(state: TickState, arrived_at: int) -> TickState:
    """Restart the schedule at an entry. An entry after the idle tick reopens the meeting.

    Args:
        state: the schedule's state.
        arrived_at: the entry's arrival time (ms).
    """
    return TickState(max(arrived_at, state.last_at), 0)


def next_due(state: TickState) -> int | None:
    """Return the time of the next tick (ms); None after the idle tick."""
    return state.last_at + TICK_DELAYS_MS[state.k] if state.k < len(TICK_DELAYS_MS) else None


def due(state: TickState, meeting_id: str, until_ms: int) -> tuple[TickState, list[Tick]]:
    """Return the ticks that are due, oldest first.

    Args:
        state: the schedule's state.
        meeting_id: the meeting.
        until_ms: the latest time of a due tick (ms), inclusive. Before an entry, pass the entry's arrival time: a tick at the
            same time precedes the entry.

    Returns:
        The state after the ticks, and the ticks.
    """
    ticks: list[Tick] = []
    while (at := next_due(state)) is not None and at <= until_ms:
        state = TickState(state.last_at, state.k + 1)
        ticks.append(Tick(meeting_id, at, state.k, is_idle=state.k == len(TICK_DELAYS_MS)))
    return state, ticks
