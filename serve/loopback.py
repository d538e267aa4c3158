"""Keeps Serve's own ports on this machine.

Serve's replicas open the port on which they call each other on every interface, with no setting for it. Give
`bind_loopback` to Ray as `worker_process_setup_hook` where everything runs on one machine.
"""

from __future__ import annotations

import sys
from typing import Any

import ray._common.tls_utils as tls

_EVERYWHERE = ("[::]:", "0.0.0.0:")
_original = tls.add_port_to_grpc_server


def bind_loopback() -> None:
    """Make this process's gRPC servers listen on 127.0.0.1 where they would on every interface. Twice does no harm."""
    # The replica's module may have taken the function by name already.
    for module in (tls, sys.modules.get("ray.serve._private.replica")):
        if module is not None:
            vars(module)["add_port_to_grpc_server"] = _on_loopback


def _on_loopback(server: Any, address: str) -> int:
    for everywhere in _EVERYWHERE:
        if address.startswith(everywhere):
            address = "127.0.0.1:" + address.removeprefix(everywhere)
    return _original(server, address)
