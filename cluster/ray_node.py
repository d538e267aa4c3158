"""Starts a private Ray of this process: one node on this machine, without a cluster."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import ray

from cluster.worker_setup import set_up_worker
from operators.errors import SetupError
from serve.ray_internals import (
    RAY_ENVIRONMENT,
    extend_node_start,
    listen_on_loopback,
    skip_unused_processes,
    start_in_own_sessions,
    temp_dir_option,
    worker_setup_environment,
)

OBJECT_STORE_BYTES = 100 * 2**20
"""Bytes of Ray's object store. Parley stores nothing in it."""
NODE_START_TIMEOUT_S = 120.0
"""Seconds that the node has to start."""

MAX_FOLDER_BYTES = 43
"""Maximum number of bytes of the path of Ray's folder. A socket's path can have 107, and Ray adds up to 64."""


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
    os.environ.update(RAY_ENVIRONMENT | worker_setup_environment(set_up_worker))
    listen_on_loopback()
    # Without this, Ray would write a token to the home directory, which a service's user may not have.
    if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *(path for path in paths if path not in ("", root))])
    try:
        with patch_for_single_node(log_monitor=log_to_driver):
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=log_to_driver,
                logging_level=logging.ERROR,
                **temp_dir_option(folder),
            )
    except Exception as error:  # Ray raises errors without a more specific type.
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise SetupError(f"Ray did not start within {NODE_START_TIMEOUT_S:.0f} s: {reason}") from error


@contextmanager
def patch_for_single_node(*, log_monitor: bool) -> Generator[None]:
    """Patch Ray inside the `with` block, so that it starts only the processes that a single node needs.

    If the block raises, all started processes are killed.

    Args:
        log_monitor: whether to start the process that shows the output of Ray's processes here.
    """
    with (
        start_in_own_sessions(),
        extend_node_start(NODE_START_TIMEOUT_S),
        skip_unused_processes(log_monitor=log_monitor),
    ):
        yield
