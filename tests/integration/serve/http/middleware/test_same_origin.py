"""Tests serve/http/middleware/same_origin.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from serve.http.middleware.same_origin import SameOriginMiddleware

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of an application with HTTP and WebSocket routes, with `parley.example` as an allowed host."""
    app = FastAPI()
    app.add_middleware(SameOriginMiddleware, hosts=("Parley.Example",))
    done = {"done": True}
    app.api_route("/", methods=["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])(lambda: done)

    @app.websocket("/")
    async def greet(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(1000)

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def request_page(port: int, method: str = "GET", **headers: str) -> httpx.Response:
    header_fields = {name.capitalize(): value.replace("PORT", str(port)) for name, value in headers.items()}
    return httpx.request(method, f"http://127.0.0.1:{port}/", headers=header_fields, timeout=60)


OURS = ["127.0.0.1:PORT", "localhost:PORT", "LOCALHOST:PORT", "[::1]:PORT", "localhost", "127.0.0.1:1", "[::1]"]
PROXIED = ["parley.example", "parley.example:8443", "PARLEY.example"]
OTHERS = [
    "evil.example",
    "evil.example:PORT",
    "127.0.0.1.evil.example:PORT",
    "localhost.evil.example",
    "192.168.0.7:PORT",
    "0.0.0.0:PORT",
    "x.parley.example",
    "",
    "[::2]:PORT",
    "evil.example:80@127.0.0.1:PORT",
]


@pytest.mark.parametrize("host", OURS + PROXIED)
def test_loopback_and_configured_hosts_are_allowed(port: int, host: str) -> None:
    assert request_page(port, host=host).json() == {"done": True}
    assert request_page(port, "POST", host=host).json() == {"done": True}


@pytest.mark.parametrize("host", OTHERS)
def test_an_unknown_host_is_rejected(port: int, host: str) -> None:
    answer = request_page(port, host=host)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert answer.json()["type"] == "urn:parley:problem:forbidden"
    assert "hosts" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_cross_origin_writes_are_rejected(port: int, method: str) -> None:
    for origin in ("http://evil.example", "http://127.0.0.1:1", "http://localhost:PORT", "null", "", "http://[", "x"):
        answer = request_page(port, method, origin=origin)
        assert answer.status_code == 403, origin
        assert "other sites" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_same_origin_and_non_browser_writes_are_allowed(port: int, method: str) -> None:
    assert request_page(port, method, origin="http://127.0.0.1:PORT").is_success
    assert request_page(port, method, host="localhost:PORT", origin="http://LOCALHOST:PORT").is_success
    # Behind a proxy with TLS.
    assert request_page(port, method, host="parley.example", origin="https://parley.example").is_success
    assert request_page(port, method).is_success


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_cross_origin_reads_are_left_to_the_browser(port: int, method: str) -> None:
    assert request_page(port, method, origin="http://evil.example").is_success


async def accepts_websocket(port: int, **headers: str) -> bool:
    """Whether a WebSocket is accepted."""
    header_fields = {name.capitalize(): value.replace("PORT", str(port)) for name, value in headers.items()}
    # The client sets `Host` from the URL, so the address to connect to is passed separately.
    address = f"ws://{header_fields.pop('Host', f'127.0.0.1:{port}')}/"
    try:
        async with connect(address, host="127.0.0.1", port=port, additional_headers=header_fields, open_timeout=60):
            return True
    except websockets.InvalidStatus as refusal:
        if refusal.response.status_code != 403:
            raise
        return False


async def test_cross_origin_web_sockets_are_rejected(port: int) -> None:
    assert await accepts_websocket(port)
    assert await accepts_websocket(port, origin="http://127.0.0.1:PORT")
    assert await accepts_websocket(port, host="parley.example", origin="https://parley.example")
    for origin in ("http://evil.example", "http://127.0.0.1:1", "http://localhost:PORT", "null"):
        assert not await accepts_websocket(port, origin=origin), origin
    assert not await accepts_websocket(port, host="evil.example:PORT", origin="http://evil.example:PORT")
    assert not await accepts_websocket(port, host="evil.example:PORT")


async def test_the_api_uses_the_middleware(stage: ApiHarness) -> None:
    evil = {"Origin": "http://evil.example"}
    assert (await stage.http.post("/api/meetings", json={}, headers=evil)).status_code == 403
    assert (await stage.http.get("/api/meetings", headers={"Host": "evil.example"})).status_code == 403
    assert (await stage.http.get("/", headers={"Host": "evil.example"})).status_code == 403
    assert (await stage.http.get("/api/meetings")).json() == {"meetings": [], "before": None}
    meeting = await stage.create_meeting()
    with pytest.raises(websockets.InvalidStatus):
        await connect(f"ws://{stage.address}/api/meetings/{meeting}/events", origin=evil["Origin"], open_timeout=60)  # type: ignore[arg-type]
