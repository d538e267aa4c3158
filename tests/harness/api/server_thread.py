"""The real API on a loopback port, run beside a test."""

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


@contextmanager
def run_api(options: ApiOptions) -> Generator[str]:
    """Where an API of these options runs. Each of its answers must be one that its description has."""
    app = OpenApiConformance(create_app(options))
    with run_app(app) as url:
        yield url
    assert not app.undocumented


@contextmanager
def run_app(app: ASGIApp, port: int = 0) -> Generator[str]:
    """Where an application runs: in a thread with a loop of its own, since tests block theirs. Port 0 is any free one."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
