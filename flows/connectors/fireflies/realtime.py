"""Client of Fireflies' real-time API: a Socket.IO connection that delivers one meeting's messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import aiohttp
import socketio
from socketio.exceptions import ConnectionError as SocketConnectionError

from operators.address_check import AddressRule
from operators.errors import MisconfiguredError, UnreachableError
from storage.outbound_connections import make_socket_factory

SOCKET_PATH = "/ws/realtime"
CONNECT_TIMEOUT_S = 15
"""Seconds until Fireflies must have confirmed the key."""
MAX_QUEUED_COUNT = 10_000
"""Number of messages that may wait to be read. Beyond it messages are dropped and counted, and become a gap."""
BROADCAST_EVENTS = ("transcription.broadcast", "transcript")


@dataclass(frozen=True, slots=True)
class RealtimeMessage:
    """A message of a connection.

    Attributes:
        kind: `broadcast` for transcript text; `error` for a problem that the service reports; `closed` for the end of the
            connection; `overflow` if messages were dropped.
        content: the decoded message.
    """

    kind: Literal["broadcast", "error", "closed", "overflow"]
    content: Any = None


class RealtimeConnection:
    """An open connection. Read `messages` until `closed`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[RealtimeMessage] = asyncio.Queue(MAX_QUEUED_COUNT)
        self._closed = asyncio.Event()
        self._has_overflowed = False

    def put(self, message: RealtimeMessage) -> None:
        """Queue a message of the service."""
        if self._queue.full():
            self._has_overflowed = True
            return
        if self._has_overflowed and self._queue.qsize() < MAX_QUEUED_COUNT - 1:
            self._has_overflowed = False
            self._queue.put_nowait(RealtimeMessage("overflow"))
        self._queue.put_nowait(message)

    def close(self) -> None:
        """Record that the connection has ended."""
        self._closed.set()

    async def read(self) -> list[RealtimeMessage]:
        """Return the next messages: at least one, and all that wait. After the end, return one of the kind `closed`."""
        if self._queue.empty():
            waits = [asyncio.ensure_future(self._queue.get()), asyncio.ensure_future(self._closed.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                first = waits[0].result() if waits[0].done() and not waits[0].cancelled() else None
                for wait in waits:
                    wait.cancel()
            if first is None:
                return self._drain() or [RealtimeMessage("closed")]
            return [cast("RealtimeMessage", first), *self._drain()]
        return self._drain()

    def _drain(self) -> list[RealtimeMessage]:
        messages = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        if self._has_overflowed:
            self._has_overflowed = False
            messages.append(RealtimeMessage("overflow"))
        return messages


@asynccontextmanager
async def connect(
    base_url: str, api_key: str, transcript_id: str, rule: AddressRule
) -> AsyncGenerator[RealtimeConnection]:
    """Connect to a meeting's stream, and disconnect at the end.

    Args:
        base_url: address of the service.
        api_key: the account's key.
        transcript_id: Fireflies' id of the meeting.
        rule: the addresses that are allowed.

    Raises:
        MisconfiguredError: Fireflies refuses the key or the meeting, or the service's address is refused.
        UnreachableError: no connection could be made.
    """
    connection = RealtimeConnection()
    confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reason = ""
    # The connection doesn't reconnect by itself: each new one is a gap that must be filled.
    connector = aiohttp.TCPConnector(socket_factory=make_socket_factory(rule))
    async with aiohttp.ClientSession(connector=connector) as http_session:
        client = socketio.AsyncClient(reconnection=False, logger=False, http_session=http_session)

        def on_success(_content: Any = None) -> None:
            if not confirmed.done():
                confirmed.set_result(None)

        def on_refused(content: Any = None) -> None:
            error = MisconfiguredError(
                "Fireflies refuses the connection (auth.failed): check the API key at app.fireflies.ai, Integrations, and that"
                f" the meeting is live{_reason_of(content)}"
            )
            if not confirmed.done():
                confirmed.set_exception(error)
            else:
                connection.put(RealtimeMessage("error", error))

        def on_error(content: Any = None) -> None:
            nonlocal reason
            # Nobody reads the messages of a connection that fails before it is confirmed.
            reason = _reason_of(content) or reason
            connection.put(RealtimeMessage("error", content))

        def on_connect_error(content: Any = None) -> None:
            # The client also calls this if it can't connect. Then `connect` raises what went wrong.
            if isinstance(content, Mapping) and not confirmed.done():
                confirmed.set_exception(
                    UnreachableError(f"Fireflies' real-time API does not accept the connection{_reason_of(content)}")
                )

        def on_broadcast(content: Any = None) -> None:
            on_success()
            connection.put(RealtimeMessage("broadcast", content))

        def on_disconnect(*_reason: Any) -> None:
            if not confirmed.done():
                confirmed.set_exception(
                    UnreachableError(f"Fireflies closed the connection before it confirmed the key{reason}")
                )
            connection.close()

        for event, handler in (
            ("auth.success", on_success),
            ("connection.established", on_success),
            ("auth.failed", on_refused),
            ("connection.error", on_error),
            ("connect_error", on_connect_error),
            ("disconnect", on_disconnect),
            *((event, on_broadcast) for event in BROADCAST_EVENTS),
        ):
            client.on(event, handler)
        try:
            try:
                await client.connect(
                    base_url,
                    auth={"token": f"Bearer {api_key}", "transcriptId": transcript_id},
                    transports=["websocket"],
                    socketio_path=SOCKET_PATH,
                    # A client that waits never sees why it was refused.
                    wait=False,
                )
                await asyncio.wait_for(asyncio.shield(confirmed), CONNECT_TIMEOUT_S)
            except (SocketConnectionError, aiohttp.ClientError, OSError, TimeoutError) as error:
                if confirmed.done() and (failure := confirmed.exception()) is not None:
                    raise failure from None
                raise UnreachableError(
                    f"Fireflies' real-time API can't be reached ({type(error).__name__}){reason}"
                ) from None
            yield connection
        finally:
            if not confirmed.done():
                confirmed.cancel()
            await client.shutdown()


def _reason_of(content: Any) -> str:
    """Return the service's own short reason, in parentheses."""
    if isinstance(content, Mapping):
        reason = cast("Mapping[str, Any]", content).get("message")
        if isinstance(reason, str) and reason.isprintable():
            return f' ("{reason[:100]}")'
    return ""
