"""A network link to a separate host, which can be cut.

A proxy's kernel still acknowledges packets while the proxy is silent. Nothing answers at the far end of a cut link.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading

_NEW_NETWORK = 0x40000000


class PartitionableLink:
    """A pair of network interfaces, the far one in its own network namespace. It needs root on Linux.

    Raises:
        OSError: the link can't be created here. The message has the reason.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._near, self._far = f"chaos{number}n"[-15:], f"chaos{number}f"[-15:]
        prefix = f"169.254.{1 + number % 253}"
        self._near_address, self.address = f"{prefix}.1", f"{prefix}.2"

    def __enter__(self) -> PartitionableLink:
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
            raise OSError("a partitionable link needs root, ip, unshare and nsenter")
        self._namespace_process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep 3600"], stdout=subprocess.PIPE
        )
        try:
            assert self._namespace_process.stdout is not None
            self._namespace_process.stdout.readline()  # By now the process is in its namespace, or failed to get one.
            pid = str(self._namespace_process.pid)
            _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", pid)
            _run("ip", "address", "add", f"{self._near_address}/30", "dev", self._near)
            _run("ip", "link", "set", self._near, "up")
            self._run_in_namespace("ip", "address", "add", f"{self.address}/30", "dev", self._far)
            self.restore()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The kernel deletes the far end with its namespace, and the near end with the far end.
        self._namespace_process.send_signal(signal.SIGKILL)
        self._namespace_process.communicate()

    def listen(self) -> socket.socket:
        """Return a listening socket at the far end.

        Raises:
            OSError: no socket can be created there.
        """
        sockets: list[socket.socket] = []

        def listen() -> None:
            with open(f"/proc/{self._namespace_process.pid}/ns/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEW_NETWORK):
                    return
            sockets.append(socket.create_server((self.address, 0)))

        # `setns` affects the calling thread only, so call it in a thread that ends.
        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        if not sockets:
            raise OSError("no socket can be created at the far end")
        return sockets[0]

    def cut(self) -> None:
        """Drop all packets without notifying either side."""
        self._run_in_namespace("ip", "link", "set", self._far, "down")

    def restore(self) -> None:
        """Let packets pass again."""
        self._run_in_namespace("ip", "link", "set", self._far, "up")

    def _run_in_namespace(self, *command: str) -> None:
        _run("nsenter", f"--net=/proc/{self._namespace_process.pid}/ns/net", *command)


def _run(*command: str) -> None:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise OSError(f"{' '.join(command[:3])}: {completed.stderr.strip()}")
