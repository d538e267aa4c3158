"""The real-time connection: what the service says before it confirms the key reaches the user."""

from __future__ import annotations

from typing import Any

import pytest
import socketio
from socketio.exceptions import ConnectionRefusedError as SocketConnectionRefusedError

from flows.connectors.fireflies import realtime
from operators.address_check import AddressRule
from operators.errors import UnreachableError
from tests.harness.api.server_thread import run_app


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "silent"])
async def test_an_error_before_the_confirmation_is_told(monkeypatch: pytest.MonkeyPatch, is_closed: bool) -> None:
    server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], always_connect=True)

    async def refuse(client: str, *_details: Any) -> None:
        await server.emit("connection.error", {"message": "This meeting has ended"}, to=client)
        if is_closed:
            await server.disconnect(client)

    server.on("connect", refuse)
    monkeypatch.setattr(realtime, "CONNECT_TIMEOUT_S", 15 if is_closed else 2)
    await _connect_and_expect_error(server, "This meeting has ended")


async def test_a_refused_socket_io_connection_is_told_at_once() -> None:
    server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])

    async def refuse(*_details: Any) -> None:
        raise SocketConnectionRefusedError("the service is full")

    server.on("connect", refuse)
    await _connect_and_expect_error(server, r'does not accept the connection \("the service is full"\)')


async def _connect_and_expect_error(server: socketio.AsyncServer, words: str) -> None:
    app = socketio.ASGIApp(server, socketio_path=realtime.SOCKET_PATH)
    with run_app(app) as url, pytest.raises(UnreachableError, match=words):
        async with realtime.connect(url, "a-key", "demo", AddressRule(loopback_allowed=True)):
            pass
