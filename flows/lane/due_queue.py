"""A priority queue of keys by due time, in which the earlier due time of a key always wins."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class DueQueue:
    """Keys by the time at which each is due next.

    A key has one due time, and a later one never replaces an earlier one. So a key may be popped early: the caller checks
    what is due, and schedules the key again. Replaced heap entries stay until their time, and are skipped then.
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def schedule(self, key: str, at: int) -> None:
        """Make a key due at a time, unless it is due earlier already."""
        current = self._due.get(key)
        if current is None or at < current:
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def remove(self, key: str) -> None:
        """Remove a key."""
        self._due.pop(key, None)

    def pop_due(self, before: int) -> Iterator[str]:
        """Remove the keys that are due before a time, and yield them, the earliest first.

        Keys may be scheduled between two of them.
        """
        while self._heap and self._heap[0][0] < before:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                yield key

    def has_due(self, before: int) -> bool:
        """Whether a key is due before a time. A removed or replaced entry may make this true as well."""
        return bool(self._heap) and self._heap[0][0] < before
