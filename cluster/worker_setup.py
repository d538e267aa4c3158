"""What each of Ray's worker processes does first. Light on purpose: every one of them imports this."""

from __future__ import annotations

from cluster.log_setup import configure_logging
from serve.loopback_patch import bind_loopback


def set_up_worker() -> None:
    """Listen on this machine only, and log as we do."""
    bind_loopback()
    configure_logging()
