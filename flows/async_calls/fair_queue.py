"""Capacity limits, and a queue that is fair between keys.

Both are plain data structures, without a clock or threads. The caller locks.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class CapacityCounter:
    """Counts the items held, in total and per key, against limits.

    Args:
        limit: limit for the total.
        limit_per_key: limit for each key; None for no limit.

    Attributes:
        held: number of items held.
    """

    def __init__(self, limit: int, limit_per_key: int | None) -> None:
        self._limit, self._limit_per_key = limit, limit_per_key
        self._by_key: dict[str, int] = {}
        self._full_keys = 0
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether the total limit is reached."""
        return self.held >= self._limit

    @property
    def saturated(self) -> bool:
        """Whether any limit is reached, so that the next item might not fit."""
        return self.full or self._full_keys > 0

    def key_saturated(self, key: str) -> bool:
        """Whether a key has reached its limit."""
        return self._limit_per_key is not None and self._by_key.get(key, 0) >= self._limit_per_key

    def acquire(self, key: str) -> None:
        """Count one more item. The caller checks the limits first."""
        self.held += 1
        self._by_key[key] = self._by_key.get(key, 0) + 1
        self._full_keys += self._by_key[key] == self._limit_per_key

    def release(self, key: str) -> None:
        """Count one item less."""
        self.held -= 1
        self._full_keys -= self._by_key[key] == self._limit_per_key
        self._by_key[key] -= 1
        if not self._by_key[key]:
            del self._by_key[key]


class FairQueue(Generic[T]):
    """A queue that is FIFO within a key and round-robin between keys, with limits on the items in flight.

    A ready key has queued items and is below its limit. Any other key is served at most once before it.

    Args:
        max_in_flight: maximum number of items in flight.
        max_in_flight_per_key: maximum number per key; None for no limit.
    """

    def __init__(self, max_in_flight: int, max_in_flight_per_key: int | None) -> None:
        self._in_flight = CapacityCounter(max_in_flight, max_in_flight_per_key)
        self._queued: dict[str, OrderedDict[T, None]] = {}
        self._ready_keys: OrderedDict[str, None] = OrderedDict()
        """Keys with queued items that are below their limit, in round-robin order."""

    @property
    def waiting(self) -> bool:
        """Whether any item is queued."""
        return bool(self._queued)

    def enqueue(self, key: str, item: T) -> None:
        """Queue an item behind the others of its key."""
        self._queued.setdefault(key, OrderedDict())[item] = None
        self._requeue_key(key)

    def dequeue(self) -> T | None:
        """Take the next item, which is in flight from now on. None if no key is ready."""
        if not self._ready_keys or self._in_flight.full:
            return None
        key, _ = self._ready_keys.popitem(last=False)
        item, _ = self._queued[key].popitem(last=False)
        if not self._queued[key]:
            del self._queued[key]
        self._in_flight.acquire(key)
        self._requeue_key(key)
        return item

    def finish(self, key: str) -> None:
        """Count an item of this key as no longer in flight."""
        self._in_flight.release(key)
        self._requeue_key(key)

    def cancel(self, key: str, item: T) -> bool:
        """Remove a queued item. False if it is not queued."""
        queued = self._queued.get(key)
        if queued is None or item not in queued:
            return False
        del queued[item]
        if not queued:
            del self._queued[key]
            self._ready_keys.pop(key, None)
        return True

    def _requeue_key(self, key: str) -> None:
        """Put a ready key at the end of the round, unless it already has a place there."""
        if key in self._queued and not self._in_flight.key_saturated(key):
            self._ready_keys.setdefault(key)
