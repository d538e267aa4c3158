"""The real API on a loopback port, in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from serve.app_options import ApiOptions
from serve.http.application import create_app
from tests.harness.api.openapi_conformance import OpenApiConformance

CUT_OFF_S = 5
"""Seconds after which a server that ends cuts off the answers that are still being sent."""


@contextmanager
def run_api(options: ApiOptions) -> Generator[str]:
    """Run an API with these options, and yield its base URL. Its OpenAPI description must cover each response."""
    app = OpenApiConformance(create_app(options))
    with run_app(app) as url:
        yield url
    assert not app.undocumented


@contextmanager
def run_app(app: ASGIApp, port: int = 0) -> Generator[str]:
    """Run an application, and yield its base URL. Port 0 means any free port.

    It runs in a thread with its own event loop, because tests block theirs.
    """
    # The end blocks the test's loop, so a client that the test left open can't close its connection, and is cut off.
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", lifespan="on", timeout_graceful_shutdown=CUT_OFF_S
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
