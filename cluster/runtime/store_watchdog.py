"""Restarts an embedded store that stopped unexpectedly, on the same data and address."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from operators.errors import SetupError
from storage.embedded_servers.embedded_stores import EmbeddedStores

POLL_S = 1.0
"""Seconds between two checks whether the stores run."""

log = structlog.get_logger(__name__)


def watch_stores(stores: EmbeddedStores) -> Callable[[], None]:
    """Watch running stores in a thread.

    Args:
        stores: the stores, already started.

    Returns:
        A function that ends the watch. Call it before the stores are stopped.
    """
    stopping = threading.Event()

    def poll() -> None:
        while not stopping.wait(POLL_S):
            try:
                if not stores.is_running():
                    log.error("store stopped unexpectedly; restarting it")
                    stores.start(lambda status: log.warning("store not ready", state=status), stopping)
            except Exception as error:  # noqa: BLE001 - such as a full disk: it is logged, and the start is retried
                if stopping.is_set():
                    return
                log.error("store did not start", error=str(error) if isinstance(error, SetupError) else repr(error))

    thread = threading.Thread(target=poll, name="stores", daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join()

    return stop
