"""Starts the process that stops the embedded servers once their owner has ended: `storage.embedded_servers.watcher_main`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from operators.errors import SetupError

_running_watchers: set[subprocess.Popen[bytes]] = set()
"""The running watchers of this process. An owner that drops its `EmbeddedStores` still owns the servers."""


class OwnerWatcher:
    """Watches this process, which owns the servers of a data directory.

    Args:
        data_dir: the servers' data directory.
        lock: the descriptor of the owner's lock.

    Raises:
        SetupError: the watcher could not be started.
    """

    def __init__(self, data_dir: Path, lock: int) -> None:
        self._lock = lock
        # The watcher reads until the end of the pipe, which it reaches when this process ends.
        read_end, self._write_end = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program
                [sys.executable, "-m", "storage.embedded_servers.watcher_main", str(data_dir), str(os.getpid())],
                cwd=Path(__file__).parents[2],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._write_end)
            raise SetupError(f"the watcher of the stores can't be started: {error.strerror}") from error
        finally:
            os.close(read_end)
        _running_watchers.add(self._process)

    def stop(self) -> None:
        """End the watcher and release the owner's lock. Running servers continue."""
        self._process.kill()
        self._process.wait()
        os.close(self._write_end)
        os.close(self._lock)
        _running_watchers.discard(self._process)
