"""Ports of this machine's loopback interface."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_SAFE_PORTS = range(20_000, 32_768)
"""Ports outside both the range of Ray's workers and the operating system's ephemeral range."""


def find_free_port() -> int:
    """Return a free port on 127.0.0.1.

    The port is outside the ranges from which other processes get a random port. It stays free until a server uses it.
    """
    return next(port for port in random.sample(_SAFE_PORTS, len(_SAFE_PORTS)) if is_port_free(port))


def is_port_free(port: int) -> bool:
    """Return whether a server could listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # Servers set this option too: connections that are still closing don't occupy a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
