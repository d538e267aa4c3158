"""Binds the ports of Serve's replicas to the loopback interface.

Each replica opens a port for calls from other replicas. It listens on every interface, and Serve has no setting for it. If
everything runs on one machine, pass `bind_loopback` to Ray as `worker_process_setup_hook`.
"""

from __future__ import annotations

import sys
from typing import Any

import ray._common.tls_utils as tls

_WILDCARD_HOSTS = ("[::]:", "0.0.0.0:")
_add_port = tls.add_port_to_grpc_server


def bind_loopback() -> None:
    """Make this process's gRPC servers listen on 127.0.0.1 instead of every interface. A second call changes nothing."""
    # The replica's module may have imported the function by name already.
    for module in (tls, sys.modules.get("ray.serve._private.replica")):
        if module is not None:
            vars(module)["add_port_to_grpc_server"] = _add_loopback_port


def _add_loopback_port(server: Any, address: str) -> int:
    for wildcard in _WILDCARD_HOSTS:
        if address.startswith(wildcard):
            address = "127.0.0.1:" + address.removeprefix(wildcard)
    return _add_port(server, address)
