"""Ports of this machine's loopback interface."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_SAFE_PORTS = range(20_000, 32_768)
"""Ports that Ray's workers don't take, and that no system gives a connection that asks for any."""


def find_free_port() -> int:
    """A port on 127.0.0.1 that nobody has. It may be a while until a server listens there: nobody gets it by chance."""
    return next(port for port in random.sample(_SAFE_PORTS, len(_SAFE_PORTS)) if is_port_free(port))


def is_port_free(port: int) -> bool:
    """Whether a server could listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: connections that are still closing don't hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
