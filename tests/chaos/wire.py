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


class Wire:
    """A pair of network interfaces, the far one in a network namespace of its own. It takes root on Linux.

    Raises:
        OSError: it can't be laid here, and why.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._near, self._far = f"chaos{number}n"[-15:], f"chaos{number}f"[-15:]
        net = f"169.254.{1 + number % 253}"
        self._near_address, self.address = f"{net}.1", f"{net}.2"

    def __enter__(self) -> Wire:
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
            raise OSError("it takes root, ip, unshare and nsenter")
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep 3600"], stdout=subprocess.PIPE
        )
        try:
            assert self._holder.stdout is not None
            self._holder.stdout.readline()  # It is in its namespace now, or there is none for it.
            pid = str(self._holder.pid)
            _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", pid)
            _run("ip", "address", "add", f"{self._near_address}/30", "dev", self._near)
            _run("ip", "link", "set", self._near, "up")
            self._there("ip", "address", "add", f"{self.address}/30", "dev", self._far)
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The far end goes with its namespace, and the near end with the far one.
        self._holder.send_signal(signal.SIGKILL)
        self._holder.communicate()

    def listen(self) -> socket.socket:
        """A socket that listens at the far end."""
        made: list[socket.socket] = []

        def listen() -> None:
            with open(f"/proc/{self._holder.pid}/ns/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEW_NETWORK):
                    return
            made.append(socket.create_server((self.address, 0)))

        # Only the thread that asks changes its namespace, and this one ends.
        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        if not made:
            raise OSError("no socket can be made at the far end")
        return made[0]

    def cut(self) -> None:
        """Nothing comes through, and nobody says so."""
        self._there("ip", "link", "set", self._far, "down")

    def mend(self) -> None:
        """Let all through again."""
        self._there("ip", "link", "set", self._far, "up")

    def _there(self, *command: str) -> None:
        _run("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command[:3])}: {done.stderr.strip()}")
