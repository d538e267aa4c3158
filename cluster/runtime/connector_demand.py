"""The demand for the connectors' process: it runs only while there are open sessions or imports."""

from __future__ import annotations

import time

from sqlalchemy import Engine

from storage.postgres.connector_sessions import has_connector_work

IDLE_TIMEOUT_S = 30.0
"""Seconds without work after which the process is stopped."""
POLL_S = 0.5
"""Seconds between two queries for the demand."""


class ConnectorDemand:
    """Decides whether the connectors' process must run. Call it for the current answer.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last_polled_at = self._needed_until = 0.0

    def __call__(self) -> bool:
        """Check whether the process has to run."""
        now = time.monotonic()
        if now - self._last_polled_at > POLL_S:
            self._last_polled_at = now
            with self._engine.connect() as connection:
                if has_connector_work(connection):
                    self._needed_until = now + IDLE_TIMEOUT_S
        return now < self._needed_until
