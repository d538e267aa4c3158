"""Starts a private Ray of this process: one node on this machine, without a cluster."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._private.node import Node

from cluster.worker_setup import set_up_worker
from operators.errors import SetupError

OBJECT_STORE_BYTES = 100 * 2**20
"""Bytes of Ray's object store. Parley stores nothing in it."""
NODE_START_TIMEOUT_S = 120.0
"""Seconds that the node has to start."""

MAX_FOLDER_BYTES = 43
"""Maximum number of bytes of the path of Ray's folder. A socket's path can have 107, and Ray adds up to 64."""

RAY_ENVIRONMENT = {
    # Without a cluster, every process of Ray listens on 127.0.0.1 only.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray runs its workers at low priority by default. Captions can't wait for other programs.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    # A worker is started when an actor needs one. Workers that Ray starts in advance would stay unused.
    "RAY_prestart_worker_first_driver": "0",
    # Serve kills its proxy if it isn't ready after five seconds, which is too short while everything starts at once.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
}
"""Environment variables of Ray, for the processes that it starts."""


def make_ray_folder() -> Path:
    """Make a temporary folder for Ray's files. The caller must delete it with its contents.

    Ray creates Unix sockets in it. If TMPDIR is too long for their paths, the folder is in /tmp.

    Returns:
        The folder's path.
    """
    folder = Path(tempfile.mkdtemp(prefix="parley-"))
    if len(os.fsencode(folder)) <= MAX_FOLDER_BYTES:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="parley-", dir="/tmp"))


def start_ray(folder: Path, cpus: int, *, log_to_driver: bool) -> None:
    """Start a private Ray on this machine. `ray.shutdown` stops it.

    Args:
        folder: folder for Ray's files, from `make_ray_folder`.
        cpus: number of CPUs that Ray assumes. If actors reserved more, Ray would wait for ever.
        log_to_driver: whether to show the output of Ray's processes in this process.

    Raises:
        SetupError: Ray did not start.
    """
    os.environ.update(RAY_ENVIRONMENT)
    # Without this, Ray would write a token to the home directory, which a service's user may not have.
    if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    # Not in a runtime environment, with which Ray would start each worker through another process that imports Ray again.
    os.environ[ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = f"{set_up_worker.__module__}.{set_up_worker.__name__}"
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *(path for path in paths if path not in ("", root))])
    # Ray read the environment variable at its import, which was earlier.
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with patch_for_single_node(log_monitor=log_to_driver):
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=log_to_driver,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
    except Exception as error:  # Ray raises errors without a more specific type.
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise SetupError(f"Ray did not start within {NODE_START_TIMEOUT_S:.0f} s: {reason}") from error


@contextmanager
def patch_for_single_node(*, log_monitor: bool) -> Generator[None]:
    """Patch Ray inside the `with` block, so that it starts only the processes that a single node needs.

    Version: Ray 2.60, module `ray._private.node`. The patch changes three things:

    - Ray also starts an autoscaler and a server for its dashboard and jobs. Each takes over a second of CPU time. They are
      skipped.
    - Ray waits 30 s for its node, however busy the machine is. The patch waits `NODE_START_TIMEOUT_S`.
    - Ray starts its processes in the process group of this process. A signal to the group would kill them before the actors
      have stopped. The patch gives each its own session.

    If the block raises, all started processes are killed.

    Args:
        log_monitor: whether to start the process that shows the output of Ray's processes here.
    """
    skipped_methods = ["start_monitor", "start_api_server"] + ([] if log_monitor else ["start_log_monitor"])
    original_methods = {name: getattr(Node, name) for name in skipped_methods}
    get_node, popen = services.get_node, services.ConsolePopen
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*arguments, **options, start_new_session=True)
        started.append(process)
        return process

    def await_node(gcs_address: str, node_id: str) -> Any:
        deadline = time.monotonic() + NODE_START_TIMEOUT_S
        while True:
            try:
                return get_node(gcs_address, node_id)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    services.get_node, services.ConsolePopen = await_node, start
    for name in skipped_methods:
        setattr(Node, name, _skip_process)
    try:
        yield
    except BaseException:
        ray.shutdown()
        for process in started:
            # Ray doesn't stop the processes of a node that failed to start. Each leads a group with its own children.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        services.get_node, services.ConsolePopen = get_node, popen
        for name, method in original_methods.items():
            setattr(Node, name, method)


def _skip_process(node: Node, **options: object) -> None:
    """Replace a method of Ray that starts a process, and start none."""
