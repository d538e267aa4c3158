"""When each key is due next: a priority queue in which the earlier due time of a key always wins."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class DueQueue:
    """Keys by the time at which each is due next.

    A key has one due time. A later one never replaces an earlier one, so a key may be popped early: the caller looks what is
    due, and puts it in again. Heap entries that were replaced stay until their time, and are skipped then.
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def schedule(self, key: str, at: int) -> None:
        """Have a key due at a time, unless it is due earlier already."""
        known = self._due.get(key)
        if known is None or at < known:
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def remove(self, key: str) -> None:
        """Forget a key."""
        self._due.pop(key, None)

    def pop_due(self, before: int) -> Iterator[str]:
        """Take out the keys that are due before a time, the earliest first. Keys may be put in meanwhile."""
        while self._heap and self._heap[0][0] < before:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                yield key

    def has_due(self, before: int) -> bool:
        """Whether a key is due before a time; true now and then for one that was removed."""
        return bool(self._heap) and self._heap[0][0] < before
