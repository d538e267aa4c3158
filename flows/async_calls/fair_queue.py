"""Who may come in and who is next: bounds over all keys and for each, and keys that take turns. No clock, no threads."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class CapacityCounter:
    """Counts what is held, of all keys and of each.

    Args:
        most: bound over all keys; None where there is none.
        most_per_key: bound for each key; None where there is none.
    """

    def __init__(self, most: int | None, most_per_key: int | None) -> None:
        self._most, self._most_per_key = most, most_per_key
        self._by_key: dict[str, int] = {}
        self._full_keys = 0
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether the bound over all keys is reached."""
        return self._most is not None and self.held >= self._most

    @property
    def saturated(self) -> bool:
        """Whether any bound is reached: what comes next, of whatever key, might not fit."""
        return self.full or self._full_keys > 0

    def key_saturated(self, key: str) -> bool:
        """Whether a key has reached its own bound."""
        return self._most_per_key is not None and self._by_key.get(key, 0) >= self._most_per_key

    def acquire(self, key: str) -> None:
        """Count one more. The bounds are for the caller to ask about."""
        self.held += 1
        self._by_key[key] = self._by_key.get(key, 0) + 1
        self._full_keys += self._by_key[key] == self._most_per_key

    def release(self, key: str) -> None:
        """Count one less."""
        self.held -= 1
        self._full_keys -= self._by_key[key] == self._most_per_key
        self._by_key[key] -= 1
        if not self._by_key[key]:
            del self._by_key[key]


class FairQueue(Generic[T]):
    """What waits, and who is next. The items of a key go in their order; keys with something waiting take turns.

    While a key waits that may go on, any other key goes on once at most before it.

    Args:
        at_once: how many may be under way; None where there is no bound.
        at_once_per_key: how many of one key; None where there is no bound.
    """

    def __init__(self, at_once: int | None, at_once_per_key: int | None) -> None:
        self._in_flight = CapacityCounter(at_once, at_once_per_key)
        self._waiting: dict[str, OrderedDict[T, None]] = {}
        self._ready_keys: OrderedDict[str, None] = OrderedDict()
        """Keys that have something waiting and are below their own bound; the next first."""

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def enqueue(self, key: str, item: T) -> None:
        """Let an item wait behind those of its key."""
        self._waiting.setdefault(key, OrderedDict())[item] = None
        self._requeue_key(key)

    def dequeue(self) -> T | None:
        """The item whose turn it is: it is under way from now on. None where nothing waits that may go on."""
        if not self._ready_keys or self._in_flight.full:
            return None
        key, _ = self._ready_keys.popitem(last=False)
        item, _ = self._waiting[key].popitem(last=False)
        if not self._waiting[key]:
            del self._waiting[key]
        self._in_flight.acquire(key)
        self._requeue_key(key)
        return item

    def finish(self, key: str) -> None:
        """An item of this key is no longer under way."""
        self._in_flight.release(key)
        self._requeue_key(key)

    def cancel(self, key: str, item: T) -> bool:
        """Take an item out that waits. False where it doesn't (any more)."""
        waiting = self._waiting.get(key)
        if waiting is None or item not in waiting:
            return False
        del waiting[item]
        if not waiting:
            del self._waiting[key]
            self._ready_keys.pop(key, None)
        return True

    def _requeue_key(self, key: str) -> None:
        """Give a key that may go on its place in the round, behind the others; one that has a place keeps it."""
        if key in self._waiting and not self._in_flight.key_saturated(key):
            self._ready_keys.setdefault(key)
