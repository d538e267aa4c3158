"""A wire to a host of its own, which can be cut: unlike a proxy, whose kernel answers for it, nobody answers then at all."""

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
    """A pair of network interfaces, the far one in a network namespace of its own. It takes root on Linux.

    Raises:
        OSError: it can't be laid here, and why.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._near, self._far = f"chaos{number}n"[-15:], f"chaos{number}f"[-15:]
        prefix = f"169.254.{1 + number % 253}"
        self._near_address, self.address = f"{prefix}.1", f"{prefix}.2"

    def __enter__(self) -> PartitionableLink:
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
            raise OSError("it takes root, ip, unshare and nsenter")
        self._namespace_process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep 3600"], stdout=subprocess.PIPE
        )
        try:
            assert self._namespace_process.stdout is not None
            self._namespace_process.stdout.readline()  # It is in its namespace now, or there is none for it.
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
        # The far end goes with its namespace, and the near end with the far one.
        self._namespace_process.send_signal(signal.SIGKILL)
        self._namespace_process.communicate()

    def listen(self) -> socket.socket:
        """A socket that listens at the far end."""
        sockets: list[socket.socket] = []

        def listen() -> None:
            with open(f"/proc/{self._namespace_process.pid}/ns/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEW_NETWORK):
                    return
            sockets.append(socket.create_server((self.address, 0)))

        # Only the thread that asks changes its namespace, and this one ends.
        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        if not sockets:
            raise OSError("no socket can be made at the far end")
        return sockets[0]

    def cut(self) -> None:
        """Nothing comes through, and nobody says so."""
        self._run_in_namespace("ip", "link", "set", self._far, "down")

    def restore(self) -> None:
        """Let all through again."""
        self._run_in_namespace("ip", "link", "set", self._far, "up")

    def _run_in_namespace(self, *command: str) -> None:
        _run("nsenter", f"--net=/proc/{self._namespace_process.pid}/ns/net", *command)


def _run(*command: str) -> None:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise OSError(f"{' '.join(command[:3])}: {completed.stderr.strip()}")
