"""Ray's internals: every private name, patch and undocumented environment variable of Ray that Parley uses.

Each was read in Ray `READ_IN_VERSION`. Its docstring says why Parley needs it, and where Ray has it. `test_ray_internals.py`, in
tests/unit/serve and tests/integration/serve, fails if Ray changes one. Other modules use Ray's public names only.

Every Ray worker imports this module. So at its top it imports only modules that a worker has already.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray._common.tls_utils as tls
from ray._private import ray_constants, services
from ray._private.node import Node

if TYPE_CHECKING:
    from ray.serve import Deployment

READ_IN_VERSION = "2.60.0"
"""The version of Ray in which all of this was read. Read it again before another version is installed."""

RAY_ENVIRONMENT = {
    # Without a cluster, Ray's node has the address 127.0.0.1, and its processes listen there only. `listen_on_loopback` sets the
    # same in this process. ray/_private/ray_constants.py: ENABLE_RAY_CLUSTERS_ENV_VAR
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray runs its workers at low priority by default. Captions can't wait for other programs. src/ray/common/ray_config_def.h
    "RAY_worker_niceness": "0",
    # A worker is started when an actor needs one. Workers that Ray starts in advance would stay unused.
    # src/ray/common/ray_config_def.h
    "RAY_prestart_worker_first_driver": "0",
    # Serve kills its proxy if it isn't ready after five seconds, which is too short while everything starts at once.
    # ray/serve/_private/constants.py
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
    # Ray would repeat `uv run` for each worker, with a copy of the working folder. ray/_private/ray_constants.py
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Ray would delay and merge log lines that resemble each other. ray/_private/ray_constants.py
    "RAY_DEDUP_LOGS": "0",
    # Ray would report its use to its makers. ray/_common/usage/usage_constants.py
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment variables of a Ray on one machine, for its processes."""

JOB_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A job that was submitted with its own log level sets the same variable as `ray.init`. Ray rejects that as a conflict, and
    # its message names this variable. ray/_private/worker.py: init
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
}
"""Environment variables of a job's driver, for its `ray.init`."""

_WILDCARD_HOSTS = ("[::]:", "0.0.0.0:")
_add_port = tls.add_port_to_grpc_server


def listen_on_loopback() -> None:
    """Give the node that this process starts the address 127.0.0.1.

    Reason: Ray reads `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER` at its import, which is earlier than Parley can set it.

    Source: `ENABLE_RAY_CLUSTER` in ray/_private/ray_constants.py, used by `get_node_ip_address` in ray/_private/services.py.
    https://github.com/ray-project/ray/issues/18730
    """
    ray_constants.ENABLE_RAY_CLUSTER = False


def bind_loopback() -> None:
    """Make this process's gRPC servers listen on 127.0.0.1 instead of every interface. A second call changes nothing.

    Reason: each replica opens a port for calls from other replicas. It listens on every interface, and Serve has no setting
    for it. If everything runs on one machine, every worker calls this at its start: see `worker_setup_environment`.

    Source: `add_port_to_grpc_server` in ray/_common/tls_utils.py, called by ray/serve/_private/replica.py.
    https://github.com/ray-project/ray/issues/64544
    """
    # The replica's module may have imported the function by name already.
    for module in (tls, sys.modules.get("ray.serve._private.replica")):
        if module is not None:
            vars(module)["add_port_to_grpc_server"] = _add_loopback_port


def _add_loopback_port(server: Any, address: str) -> int:
    for wildcard in _WILDCARD_HOSTS:
        if address.startswith(wildcard):
            address = "127.0.0.1:" + address.removeprefix(wildcard)
    return _add_port(server, address)


def worker_setup_environment(function: Callable[[], None]) -> dict[str, str]:
    """Return the environment variable that makes every Ray worker call a function when it starts.

    Reason: the public `worker_process_setup_hook` is part of a runtime environment. With one, Ray starts each worker through
    another process, which imports Ray again.

    Source: `WORKER_PROCESS_SETUP_HOOK_ENV_VAR`, read by ray/_private/workers/default_worker.py.

    Args:
        function: a function of a module that the workers can import.
    """
    return {ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR: f"{function.__module__}.{function.__name__}"}


def temp_dir_option(folder: Path) -> dict[str, Any]:
    """Return the option of `ray.init` that names the folder of Ray's files.

    Reason: `ray.init` has no public option for it. By default Ray writes to /tmp/ray, which belongs to its first user.

    Source: `_temp_dir` in ray/_private/worker.py.
    """
    return {"_temp_dir": str(folder)}


@contextmanager
def skip_unused_processes(*, log_monitor: bool) -> Generator[None]:
    """Keep Ray from starting processes inside the `with` block that a single node doesn't need.

    Reason: Ray starts an autoscaler, and a server for its dashboard and jobs. Each takes over a second of CPU time.
    `include_dashboard=False` omits the dashboard's pages only.

    Source: `Node.start_monitor`, `start_api_server` and `start_log_monitor` in ray/_private/node.py.

    Args:
        log_monitor: whether to start the process that shows the output of Ray's processes here.
    """
    skipped_methods = ["start_monitor", "start_api_server"] + ([] if log_monitor else ["start_log_monitor"])
    original_methods = {name: getattr(Node, name) for name in skipped_methods}
    for name in skipped_methods:
        setattr(Node, name, _skip_process)
    try:
        yield
    finally:
        for name, method in original_methods.items():
            setattr(Node, name, method)


def _skip_process(node: Node, **options: object) -> None:
    """Replace a method of Ray that starts a process, and start none."""


@contextmanager
def extend_node_start(timeout_s: float) -> Generator[None]:
    """Make Ray wait longer for its node inside the `with` block.

    Reason: Ray waits 30 s, however busy the machine is.

    Source: `Node.__init__` in ray/_private/node.py has the 30 s. It calls `services.get_node`, which raises a RuntimeError until
    the node exists. https://github.com/ray-project/ray/issues/65983

    Args:
        timeout_s: seconds that the node has to start.
    """
    get_node = services.get_node

    def await_node(gcs_address: str, node_id: str) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return get_node(gcs_address, node_id)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    services.get_node = await_node
    try:
        yield
    finally:
        services.get_node = get_node


@contextmanager
def start_in_own_sessions() -> Generator[None]:
    """Give each process that Ray starts inside the `with` block its own session. If the block raises, kill them all.

    Reason: Ray starts its processes in the process group of this process. A signal to the group, such as Ctrl+C, would kill
    them before the actors have stopped. Ray doesn't stop the processes of a node that failed to start.

    Source: `ConsolePopen`, called by `start_ray_process` in ray/_private/services.py.
    """
    popen = services.ConsolePopen
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*arguments, **options, start_new_session=True)
        started.append(process)
        return process

    services.ConsolePopen = start
    try:
        yield
    except BaseException:
        ray.shutdown()
        for process in started:
            # Each leads a group with its own children.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        services.ConsolePopen = popen


def with_version(deployment: Deployment, version: str) -> Deployment:
    """Return a deployment with a version of its code.

    Reason: if an application is run again without a version, Serve takes it for new code and replaces all replicas. The same
    version keeps them. Only Serve's config files can set one through the public API.

    Source: `version` and `_internal` of `Deployment.options` in ray/serve/deployment.py.
    https://github.com/ray-project/ray/pull/34430
    """
    return deployment.options(version=version, _internal=True)


def delete_app_in_background(name: str) -> None:
    """Delete a Serve application, and return before its replicas have finished their requests.

    Reason: `serve.delete` waits for the replicas, up to a minute, and its caller has other applications to deploy.

    Source: `_blocking` of `delete` in ray/serve/api.py.
    """
    # Every worker imports this module, and Serve takes a second to import.
    from ray import serve

    serve.delete(name, _blocking=False)
