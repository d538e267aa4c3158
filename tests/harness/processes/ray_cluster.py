"""A real Ray cluster on loopback, for tests that need Serve as it runs in production."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import ray
from ray import serve as ray_serve
from ray.serve._private.router import SingletonThreadRouter

from cluster.ports import find_free_port
from cluster.ray_node import patch_for_single_node
from serve.ray_internals import RAY_ENVIRONMENT, bind_loopback, listen_on_loopback, worker_setup_environment


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """Start Ray and Serve for the whole session, and yield the URL of Serve's HTTP proxy."""
    port = find_free_port()
    # Ray puts Unix sockets below its folder: their paths must stay short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    os.environ |= RAY_ENVIRONMENT
    listen_on_loopback()
    try:
        _start_ray(folder)
        ray_serve.start(http_options={"host": "127.0.0.1", "port": port})
        yield f"http://127.0.0.1:{port}"
        ray_serve.shutdown()
    finally:
        ray.shutdown()
        _stop_routers()
        shutil.rmtree(folder, ignore_errors=True)


def _stop_routers() -> None:
    """Stop the tasks of Serve's handles in this process.

    They would report metrics for as long as the process lives, and log a traceback each time. Python 3.11 parses source code
    for a traceback, and its parser fails in a thread that parses at the same moment (python/cpython#106905).
    """
    loop = SingletonThreadRouter._asyncio_loop
    if loop is not None:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])


def _start_ray(folder: str) -> None:
    # Ray's workers inherit these variables. In a `runtime_env`, they would make each worker import Ray twice.
    worker_environment = {
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        **worker_setup_environment(bind_loopback),
    }
    with patch.dict(os.environ, worker_environment), patch_for_single_node(log_monitor=False):
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=150_000_000,
            log_to_driver=False,
            _temp_dir=folder,
            # Ray's default is ten seconds, and a test of a metric would wait that long.
            _system_config={"metrics_report_interval_ms": 1000},
        )
