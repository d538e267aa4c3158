"""Limits the live streams of a replica, so that it always has room for requests and health checks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from operators.errors import UnavailableError


class StreamLimit:
    """Counts the open streams of live events.

    Args:
        max_streams: the most streams that a replica serves at once.
    """

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._open_count = 0

    @contextmanager
    def acquire(self) -> Generator[None]:
        """Count a stream for as long as the context lasts.

        Raises:
            UnavailableError: the limit is reached.
        """
        if self._open_count >= self._max_streams:
            raise UnavailableError(f"this server has {self._open_count} live streams open, its limit; try again later")
        self._open_count += 1
        try:
            yield
        finally:
            self._open_count -= 1
