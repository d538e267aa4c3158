"""Keeps the embedded stores running: one that dies is started again, where it was."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from operators.errors import SetupError
from storage.embedded_servers.embedded_stores import EmbeddedStores

POLL_S = 1.0
"""Seconds between two looks at whether they run."""

log = structlog.get_logger(__name__)


def watch_stores(stores: EmbeddedStores) -> Callable[[], None]:
    """Look after stores that have been started, in a thread.

    Returns:
        What ends that. To be called before they are stopped.
    """
    stopping = threading.Event()

    def poll() -> None:
        while not stopping.wait(POLL_S):
            try:
                if not stores.is_running():
                    log.error("a store died; it is started again")
                    stores.start(lambda doing: log.warning("a store is not ready", state=doing), stopping)
            except Exception as error:  # noqa: BLE001 - as where the disk is full: whoever waits sees it, and it is tried again
                if stopping.is_set():
                    return
                log.error("a store did not start", error=str(error) if isinstance(error, SetupError) else repr(error))

    thread = threading.Thread(target=poll, name="stores", daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join()

    return stop
