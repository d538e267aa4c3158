"""Where models are measured: a Ray and stores of the bench's own, thrown away with all they hold."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray
from ray import serve as ray_serve
from ray._private import ray_constants

from cluster.ports import LOOPBACK, free_port
from cluster.system import OBJECT_STORE, RAY_ENVIRONMENT
from cluster.workers import set_up_worker
from serve.app import QUIET
from storage.embedded import EmbeddedStores, StoreUrls
from storage.migrate import upgrade

CPUS = 64
"""What Ray is told it may hand out: it would wait for ever for more."""


@contextmanager
def bench_place() -> Generator[StoreUrls]:
    """Start stores, Ray and Serve for as long as the block.

    Raises:
        SetupFailed: says what could not be started and what to do.
    """
    with ExitStack() as stack:
        # As root, the embedded Postgres runs as another user, who must be able to pass through here.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-", ignore_cleanup_errors=True)))
        folder.chmod(0o711)
        urls = stack.enter_context(EmbeddedStores(folder / "data", durable=False))
        upgrade(urls.postgres)
        os.environ.update(RAY_ENVIRONMENT)
        # Read from the environment when Ray was imported, which is before this.
        ray_constants.ENABLE_RAY_CLUSTER = False
        stack.callback(ray.shutdown)
        ray.init(
            address="local",
            num_cpus=CPUS,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder / "ray"),
            runtime_env={
                "worker_process_setup_hook": set_up_worker,
                "env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            },
        )
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(http_options={"host": LOOPBACK, "port": free_port()}, logging_config=QUIET)
        yield urls
