"""The benchmark's environment: temporary stores, Ray and Serve, deleted afterwards."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray
from ray import serve as ray_serve

from cluster.ports import LOOPBACK, find_free_port
from cluster.ray_node import make_ray_folder, start_ray
from serve.deploy.builders import QUIET_LOGGING
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.migrations.schema_migration import upgrade_schema
from storage.store_urls import StoreUrls

RAY_CPU_COUNT = 64
"""Number of CPUs that Ray assumes. If actors reserved more, Ray would wait for ever."""


@contextmanager
def start_environment() -> Generator[StoreUrls]:
    """Run stores, Ray and Serve inside the `with` block.

    Yields:
        The stores' URLs.

    Raises:
        SetupError: a part could not be started. The message says which one, and what to do.
    """
    with ExitStack() as stack:
        # If this is root, the embedded Postgres runs as another user, who must be able to enter this folder.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-", ignore_cleanup_errors=True)))
        folder.chmod(0o711)
        urls = stack.enter_context(EmbeddedStores(folder / "data", durable=False))
        upgrade_schema(urls.postgres)
        ray_folder = make_ray_folder()
        stack.callback(shutil.rmtree, ray_folder, ignore_errors=True)
        stack.callback(ray.shutdown)
        start_ray(ray_folder, RAY_CPU_COUNT, log_to_driver=False)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(http_options={"host": LOOPBACK, "port": find_free_port()}, logging_config=QUIET_LOGGING)
        yield urls
