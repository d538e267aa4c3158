"""A step that counts words, in its third schema: for tests of states that older versions stored."""

from __future__ import annotations

from dataclasses import dataclass

from flows.lane.envelope import Envelope
from flows.lane.stateful_step import StatefulStep


@dataclass(frozen=True)
class Count:
    words: int
    letters: int = 0


def same(state: Count, envelope: Envelope) -> tuple[Count, Envelope]:
    return state, envelope


STAGE = StatefulStep(
    "count",
    3,
    Count,
    lambda: Count(0),
    same,
    upgrades={1: lambda words: {"words": words}, 2: lambda state: {**state, "letters": 5 * state["words"]}},
)
