"""The process that stops the embedded servers once their owner has ended, even by SIGKILL.

It runs in a separate session and ignores the signals that ask to stop. So a signal to the owner's terminal, process group or
service doesn't end it before the owner.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from operators.errors import SetupError


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
    # A late import: it takes most of a second, and nearly every watcher is ended before.
    from storage.embedded_servers.embedded_stores import EmbeddedStores

    try:
        EmbeddedStores(data_dir).stop_unowned()
    except SetupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
