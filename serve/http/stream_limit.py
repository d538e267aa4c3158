"""Bounds the live streams of a replica, so that requests and health checks always find room beside them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from operators.errors import Unavailable


class StreamLimit:
    """Counts the open streams of live events.

    Args:
        most: how many a replica serves at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0

    @contextmanager
    def counted(self) -> Generator[None]:
        """Count a stream for as long as the context lasts.

        Raises:
            Unavailable: as many are open as may be.
        """
        if self._open >= self._most:
            raise Unavailable(f"this server has {self._open} live streams open, its limit; try again later")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
