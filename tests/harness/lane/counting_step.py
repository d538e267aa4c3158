"""A step that counts words, with three schema versions, for tests of states that older versions stored."""

from __future__ import annotations

from dataclasses import dataclass

from flows.lane.envelope import Envelope
from flows.lane.stateful_step import StatefulStep


@dataclass(frozen=True)
class WordCount:
    """The step's state: number of words and of letters."""

    words: int
    letters: int = 0


def keep_state(state: WordCount, envelope: Envelope) -> tuple[WordCount, None]:
    """Return the state unchanged, and no result."""
    return state, None


COUNTING_STEP = StatefulStep(
    "count",
    3,
    WordCount,
    lambda: WordCount(0),
    keep_state,
    "note_request",
    upgrades={1: lambda words: {"words": words}, 2: lambda state: {**state, "letters": 5 * state["words"]}},
)
