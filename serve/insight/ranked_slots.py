"""Slots for concurrent work. If none is free, the work of the lowest rank that has waited longest is next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count


class RankedSlots:
    """A semaphore whose waiters have ranks, for one event loop.

    Args:
        limit: number of slots.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    def resize(self, limit: int) -> None:
        """Change the number of slots. Those held beyond it are not given out again."""
        self._limit = limit
        self._give_out()

    @asynccontextmanager
    async def hold(self, rank: int) -> AsyncGenerator[None]:
        """Hold a slot, and wait for one first.

        Args:
            rank: waiters with lower ranks come first.
        """
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (rank, next(self._arrivals), turn))
        self._give_out()
        try:
            await turn
        except asyncio.CancelledError:
            # The slot may have been given out just before.
            if not turn.cancelled():
                self._release()
            raise
        try:
            yield
        finally:
            self._release()

    def _give_out(self) -> None:
        while self._waiting and self._held < self._limit:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                self._held += 1
                turn.set_result(None)

    def _release(self) -> None:
        self._held -= 1
        self._give_out()
