"""The Realtime API: a Socket.IO server that checks the key and sends events to the clients of a meeting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import socketio

from cluster.fireflies_sim.bearer_token import is_authorized
from cluster.fireflies_sim.meeting import SimulatedMeeting
from cluster.fireflies_sim.transcript_fields import format_iso

PATH = "/ws/realtime"
REFUSAL_DELAY_S = 0.1
"""Seconds until a client without access is refused."""


class RealtimeServer:
    """Accepts clients, and sends them events.

    A client authenticates with `{"token": "Bearer KEY", "transcriptId": ID}`. It gets `auth.success` and
    `connection.established`. Otherwise it gets `auth.failed`, and is disconnected.

    Args:
        api_key: the key that clients must have.
        meetings: the meetings by their ids.
        on_client: called with a meeting and the session id of its new client.
    """

    def __init__(
        self, api_key: str, meetings: Mapping[str, SimulatedMeeting], on_client: Callable[[SimulatedMeeting, str], None]
    ) -> None:
        self._api_key = api_key
        self._meetings = meetings
        self._on_client = on_client
        self._clients: dict[str, str] = {}
        # A client is connected before it is authenticated, as with the real service: a refusal is an event.
        self.socket_server = socketio.AsyncServer(
            async_mode="asgi", transports=["websocket"], always_connect=True, cors_allowed_origins="*"
        )
        self.socket_server.on("connect", self._on_connect)
        self.socket_server.on("disconnect", self._on_disconnect)
        self.socket_server.on("ping", self._on_ping)

    @property
    def connection_count(self) -> int:
        """Number of authenticated clients."""
        return len(self._clients)

    def client_ids(self, transcript_id: str) -> list[str]:
        """Return the session ids of a meeting's clients."""
        return [client for client, meeting_id in self._clients.items() if meeting_id == transcript_id]

    def is_connected(self, client: str) -> bool:
        """Whether the client of a session id is connected."""
        return client in self._clients

    async def emit(self, event: str, body: dict[str, Any], to: str) -> None:
        """Send an event to a client (its session id), or to all clients of a meeting (its transcript id)."""
        await self.socket_server.emit(event, body, to=to)

    async def drop(self, clients: list[str]) -> None:
        """Close the sockets of clients without a Socket.IO goodbye, as a lost network does. Clients reconnect by themselves."""
        for client in clients:
            # From now on, nothing is sent to the client.
            if (meeting_id := self._clients.pop(client, None)) is not None:
                await self.socket_server.leave_room(client, meeting_id)
            engine_id = self.socket_server.manager.eio_sid_from_sid(client, "/")
            if (engine_socket := self.socket_server.eio.sockets.get(engine_id)) is not None:
                # The end mark of the socket's writer: what was sent before arrives, then the socket is closed.
                await engine_socket.queue.put(None)

    async def drop_all(self) -> int:
        """Close the sockets of all clients, as `drop` does, and return their number."""
        clients = list(self._clients)
        await self.drop(clients)
        return len(clients)

    async def _on_connect(self, client: str, _environ: dict[str, Any], auth: Any = None) -> bool:
        fields: dict[str, Any] = auth if isinstance(auth, dict) else {}
        meeting = self._meetings.get(str(fields.get("transcriptId")))
        if not is_authorized(fields.get("token"), self._api_key):
            return self._refuse(client, "Invalid or missing API key")
        if meeting is None:
            return self._refuse(client, "Meeting not found, or no access to it: check transcriptId")
        await self.emit("auth.success", _notice("auth.success", "Authentication successful"), client)
        await self.emit("connection.established", _notice("connection.established", "Connection established"), client)
        await self.socket_server.enter_room(client, meeting.id)
        self._clients[client] = meeting.id
        self._on_client(meeting, client)
        return True

    def _refuse(self, client: str, reason: str) -> bool:
        self.socket_server.start_background_task(self._send_refusal, client, reason)
        return True

    async def _send_refusal(self, client: str, reason: str) -> None:
        # A client that is refused while it still connects would never see the reason.
        await asyncio.sleep(REFUSAL_DELAY_S)
        await self.emit("auth.failed", _notice("auth.failed", reason), client)
        await self.socket_server.disconnect(client)

    async def _on_disconnect(self, client: str, _reason: str) -> None:
        self._clients.pop(client, None)

    async def _on_ping(self, client: str, _body: Any = None) -> None:
        await self.emit("pong", _notice("pong", "pong"), client)


def _notice(kind: str, message: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "timestamp": format_iso(time.time_ns() // 1_000_000)}
