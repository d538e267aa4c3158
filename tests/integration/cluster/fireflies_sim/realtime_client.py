"""A plain Socket.IO client that records the events of the Realtime API, and a caller of its GraphQL API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import socketio
from socketio.exceptions import ConnectionError as SocketConnectionError

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY, FirefliesSimulator

AUTHORIZATION = {"authorization": f"Bearer {DEFAULT_API_KEY}"}
EVENTS = (
    *("auth.success", "auth.failed", "connection.established", "connection.error", "pong"),
    *("transcription.broadcast", "transcript", "disconnect"),
)


class RealtimeClient:
    """A client of one meeting.

    Args:
        reconnects: whether it reconnects by itself.

    Attributes:
        events: the events with their bodies, oldest first.
    """

    def __init__(self, *, reconnects: bool = False) -> None:
        self.events: list[tuple[str, Any]] = []
        self.socket = socketio.AsyncClient(
            reconnects, reconnection_attempts=100, reconnection_delay=0.01, reconnection_delay_max=0.05
        )
        self._changed = asyncio.Event()
        for event in EVENTS:
            self.socket.on(event, self._recorder(event))

    async def connect(
        self, simulator: FirefliesSimulator, transcript_id: str = "demo", token: str = f"Bearer {DEFAULT_API_KEY}"
    ) -> RealtimeClient:
        await self.connect_with(simulator, {"token": token, "transcriptId": transcript_id})
        await self.wait_until(lambda: self.count("connection.established") > 0)
        return self

    async def connect_with(self, simulator: FirefliesSimulator, auth: dict[str, Any] | None) -> None:
        await self.socket.connect(
            simulator.url, auth=auth, transports=["websocket"], socketio_path="/ws/realtime", wait=False
        )

    async def wait_until(self, is_met: Callable[[], bool]) -> None:
        """Wait for events until a condition is met."""
        while not is_met():
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        self.socket.reconnection = False
        await self.socket.shutdown()
        # A client that learns of a lost connection at this moment begins to reconnect after that.
        self.socket.connect = _refuse_to_connect

    @property
    def broadcasts(self) -> list[dict[str, Any]]:
        """The fields of the broadcasts, oldest first."""
        return [body["payload"] for event, body in self.events if event == "transcription.broadcast"]

    def count(self, event: str) -> int:
        return sum(name == event for name, _ in self.events)

    def _recorder(self, event: str) -> Callable[..., None]:
        def record(*body: Any) -> None:
            self.events.append((event, body[0] if body else None))
            self._changed.set()

        return record


async def _refuse_to_connect(*_arguments: Any, **_options: Any) -> None:
    raise SocketConnectionError("the test has ended")


async def post_query(
    simulator: FirefliesSimulator, query: str, variables: dict[str, Any] | None = None, **headers: str
) -> httpx.Response:
    """Send a GraphQL request, with the key unless the headers name another."""
    async with httpx.AsyncClient(base_url=simulator.url, timeout=60) as client:
        body = {"query": query, "variables": variables}
        return await client.post("/graphql", json=body, headers=AUTHORIZATION | headers)


async def fetch_data(simulator: FirefliesSimulator, query: str, variables: dict[str, Any] | None = None) -> Any:
    """Return the data of a GraphQL answer without errors."""
    response = await post_query(simulator, query, variables)
    assert response.status_code == 200, response.text
    assert "errors" not in response.json()
    return response.json()["data"]


def sent_fields(simulator: FirefliesSimulator) -> list[dict[str, Any]]:
    """Return the fields of the broadcasts that the server sent, oldest first."""
    names = ("chunk_id", "text", "speaker_name", "start_time", "end_time")
    return [{name: getattr(sent.broadcast, name) for name in names} for sent in simulator.sent]
