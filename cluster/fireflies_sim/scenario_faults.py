"""Failures that are added to the broadcasts of any scenario. The last text of each chunk stays the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from cluster.fireflies_sim.scenario_steps import Broadcast, Disconnection, ErrorMessage, Step

LATE_CHUNK_INTERVAL = 3
"""Each chunk of this ordinal gets its last text late."""
LATE_S = (5.0, 24.0)
"""Shortest and longest delay of a late text, in seconds. The real service was seen to take up to 24 s."""
ERROR_TEXT = "Connection error: the transcription service is temporarily unavailable"


def add_late_revisions(broadcasts: Sequence[Broadcast], seed: int) -> tuple[Broadcast, ...]:
    """Delay the last text of every third chunk, until later chunks have begun.

    In its place comes a text that lacks the last word. If the chunk is a single word, that comes in other case.

    Args:
        broadcasts: the broadcasts, in the order of their times.
        seed: seed of the random delays.

    Returns:
        The broadcasts in the order of their times.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    last_index = {broadcast.chunk_id: index for index, broadcast in enumerate(broadcasts)}
    late_ids = set(list(last_index)[::LATE_CHUNK_INTERVAL])
    changed: list[Broadcast] = []
    for index, broadcast in enumerate(broadcasts):
        if broadcast.chunk_id in late_ids and last_index[broadcast.chunk_id] == index and broadcast.text:
            changed.append(replace(broadcast, text=_unfinished(broadcast.text)))
            changed.append(replace(broadcast, at=round(broadcast.at + rng.uniform(*LATE_S), 3)))
        else:
            changed.append(broadcast)
    return tuple(sorted(changed, key=lambda broadcast: broadcast.at))


def add_disconnections(steps: Sequence[Step], interval: int) -> tuple[Step, ...]:
    """Add a disconnection after every `interval` broadcasts."""
    return _add_after_broadcasts(steps, interval, Disconnection)


def add_errors(steps: Sequence[Step], interval: int) -> tuple[Step, ...]:
    """Add a `connection.error` message after every `interval` broadcasts."""
    return _add_after_broadcasts(steps, interval, lambda at: ErrorMessage(at, ERROR_TEXT))


def _unfinished(text: str) -> str:
    words = text.split()
    return " ".join(words[:-1]) or text.swapcase()


def _add_after_broadcasts(steps: Sequence[Step], interval: int, make_step: Callable[[float], Step]) -> tuple[Step, ...]:
    changed: list[Step] = []
    count = 0
    for step in steps:
        changed.append(step)
        if isinstance(step, Broadcast):
            count += 1
            if count % interval == 0:
                changed.append(make_step(step.at))
    return tuple(changed)
