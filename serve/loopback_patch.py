"""Keeps Serve's own ports on this machine.

Serve's replicas open the port on which they call each other on every interface, with no setting for it. Give
`bind_loopback` to Ray as `worker_process_setup_hook` where everything runs on one machine.
"""

from __future__ import annotations

import sys
from typing import Any

import ray._common.tls_utils as tls

_WILDCARD_HOSTS = ("[::]:", "0.0.0.0:")
_add_port = tls.add_port_to_grpc_server


def bind_loopback() -> None:
    """Make this process's gRPC servers listen on 127.0.0.1 where they would on every interface. Twice does no harm."""
    # The replica's module may have taken the function by name already.
    for module in (tls, sys.modules.get("ray.serve._private.replica")):
        if module is not None:
            vars(module)["add_port_to_grpc_server"] = _add_loopback_port


def _add_loopback_port(server: Any, address: str) -> int:
    for wildcard in _WILDCARD_HOSTS:
        if address.startswith(wildcard):
            address = "127.0.0.1:" + address.removeprefix(wildcard)
    return _add_port(server, address)
