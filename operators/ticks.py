"""When a meeting falls quiet: the instants at which its source says so, counted from its last entry.

Pure, so that a live source and a replay put the same ticks between the same entries.
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.model import Tick

TICK_DELAYS_MS = (200, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 10_000, 30_000, 121_000, 1_800_000)
"""Delays after the last entry: the first let sentences out, 121 s is past the revision horizon, the last times out."""


@dataclass(frozen=True, slots=True)
class TickState:
    """The arrival of a meeting's last entry (ms), and how many ticks came after it. At first nothing is due."""

    last_at: int = 0
    k: int = len(TICK_DELAYS_MS)


def after_entry(state: TickState, arrived_at: int) -> TickState:
    """The schedule begins anew at each entry, after the idle tick too: the entry then reopens the meeting.

    Args:
        arrived_at: the entry's time (ms).
    """
    return TickState(max(arrived_at, state.last_at), 0)


def next_due(state: TickState) -> int | None:
    """The time of the next tick (ms); None after the idle one."""
    return state.last_at + TICK_DELAYS_MS[state.k] if state.k < len(TICK_DELAYS_MS) else None


def due(state: TickState, meeting_id: str, until_ms: int) -> tuple[TickState, list[Tick]]:
    """The ticks that are due, oldest first.

    Args:
        until_ms: up to and with this time. Before an entry, the entry's own: a tick of the same instant comes first.

    Returns:
        The state after them, and the ticks.
    """
    ticks: list[Tick] = []
    while (at := next_due(state)) is not None and at <= until_ms:
        state = TickState(state.last_at, state.k + 1)
        ticks.append(Tick(meeting_id, at, state.k, is_idle=state.k == len(TICK_DELAYS_MS)))
    return state, ticks
