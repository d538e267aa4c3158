"""Setup of each Ray worker process. Every worker imports this module, so it imports little."""

from __future__ import annotations

from cluster.log_setup import configure_logging
from serve.ray_internals import bind_loopback


def set_up_worker() -> None:
    """Bind servers to loopback, and configure the logs."""
    bind_loopback()
    configure_logging()
