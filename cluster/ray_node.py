"""Starts a Ray of this process' own: one node, on this machine alone."""

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
"""Bytes of Ray's object store: nothing of ours goes through it."""
NODE_START_TIMEOUT_S = 120.0
"""Seconds that its node gets to start."""

MAX_FOLDER_BYTES = 43
"""Bytes that the path of Ray's folder may have: a socket's path may have 107, and Ray adds up to 64."""

RAY_ENVIRONMENT = {
    # Every process of a Ray that is no cluster listens on 127.0.0.1 alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray's own default makes way for everything else on the machine; captions can't.
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    # A worker is started when an actor needs one: those that Ray starts beforehand do nothing here.
    "RAY_prestart_worker_first_driver": "0",
    # Serve gives its proxy five seconds to come up, and then kills it: too few where everything starts at once.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
}
"""Ray's own settings, for the processes it starts."""


def make_ray_folder() -> Path:
    """Make a folder for the files of a Ray, to be removed with all that it holds.

    Ray puts Unix sockets there. Where TMPDIR is too long for their paths, the folder lies in /tmp.
    """
    folder = Path(tempfile.mkdtemp(prefix="parley-"))
    if len(os.fsencode(folder)) <= MAX_FOLDER_BYTES:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="parley-", dir="/tmp"))


def start_ray(folder: Path, cpus: int, *, log_to_driver: bool) -> None:
    """Start a Ray of this process' own, on this machine alone. `ray.shutdown` ends it.

    Args:
        folder: for its files, as `make_folder` makes it.
        cpus: what Ray may hand out; it waits for ever for more.
        log_to_driver: whether what its processes print is shown here.

    Raises:
        SetupError: it did not start.
    """
    os.environ.update(RAY_ENVIRONMENT)
    # Ray would keep a token in the home directory, which a service's user may not have.
    if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    # Not by a runtime environment: Ray would start each worker through another process, which imports Ray once more.
    os.environ[ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = f"{set_up_worker.__module__}.{set_up_worker.__name__}"
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *(path for path in paths if path not in ("", root))])
    # Read from the environment when Ray was imported, which is before this.
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
    except Exception as error:  # Ray raises bare ones
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise SetupError(f"Ray did not start, for which it gets {NODE_START_TIMEOUT_S:.0f} s: {reason}") from error


@contextmanager
def patch_for_single_node(*, log_monitor: bool) -> Generator[None]:
    """Have Ray start only what a lone node needs, and wait `NODE_START_TIMEOUT_S` for it. If that fails, nothing stays.

    Ray (2.60, `ray._private.node`) starts an autoscaler and the server of its dashboard and jobs as well. Each of them takes
    over a second of processor time. Ray waits 30 s for its node, however busy the machine is. It starts its processes in this
    process' group: a signal to the group would end them before what runs in them has been stopped.

    Args:
        log_monitor: whether what Ray's processes print is to be shown here.
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
            # Ray forgets those of a node that it couldn't start. Each leads the group of what it has started itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        services.get_node, services.ConsolePopen = get_node, popen
        for name, method in original_methods.items():
            setattr(Node, name, method)


def _skip_process(node: Node, **options: object) -> None:
    """Takes the place of a method of Ray's that starts a process."""
