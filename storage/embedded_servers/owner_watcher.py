"""A process that stops the embedded servers once their owner has ended, even by SIGKILL.

It runs in a separate session and ignores the signals that ask to stop. So a signal to the owner's terminal, process group or
service doesn't end it before the owner.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
                [sys.executable, "-m", __name__, str(data_dir), str(os.getpid())],
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


def main(data_dir: Path, owner_pid: int) -> None:
    """Wait for the owner's end, then stop the servers unless another owner has adopted them.

    Args:
        data_dir: the servers' data directory.
        owner_pid: process id of the owner, which is the parent of this process.
    """
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    while os.getppid() == owner_pid:  # The owner's lock is released a moment after its pipe closes.
        time.sleep(0.01)
    # A late import, because it takes most of a second, and nearly every watcher is ended before.
    from storage.embedded_servers.embedded_stores import EmbeddedStores

    try:
        EmbeddedStores(data_dir).stop_unowned()
    except SetupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
