"""Tests of the loopback patch of Serve's ports."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import grpc
import ray._common.tls_utils as tls
from ray.serve._private import replica
from serve.loopback_patch import bind_loopback
from concurrent.futures import ThreadPoolExecutor

bind_loopback()
bind_loopback()
import pathlib
for module in (tls, replica):
    server = grpc.server(ThreadPoolExecutor(1))
    port = module.add_port_to_grpc_server(server, "[::]:0")
    server.start()
    lines = [l.split() for f in ("tcp", "tcp6") for l in pathlib.Path(f"/proc/net/{f}").read_text().splitlines()[1:]]
    print([l[1].split(":")[0] for l in lines if l[3] == "0A" and int(l[1].split(":")[1], 16) == port])
    server.stop(None)
"""


def test_wildcard_ports_are_bound_to_loopback() -> None:
    # In a separate process, because the hook changes the process permanently.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=180, check=True)
    # The kernel's notation of 127.0.0.1 in an IPv6 socket.
    assert done.stdout.splitlines() == ["['0000000000000000FFFF00000100007F']"] * 2
