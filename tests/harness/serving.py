"""The real API on a loopback port, run beside a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from serve.http.application import create_app
from serve.options import ApiOptions


@contextmanager
def serving(options: ApiOptions) -> Generator[str]:
    """Where an API of these options runs."""
    with serving_app(create_app(options)) as url:
        yield url


@contextmanager
def serving_app(app: FastAPI, port: int = 0) -> Generator[str]:
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
