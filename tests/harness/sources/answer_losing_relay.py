"""A relay between a forwarder and Parley, which breaks connections while a message has no answer."""

from __future__ import annotations

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve


class AnswerLosingRelay:
    """A WebSocket relay on a loopback port. It loses by turns a message and Parley's answer, and then breaks the connection.

    Args:
        parley: host and port of Parley.
        marker: a part of the messages that may be lost.
        every: number of such messages from one loss to the next.

    Attributes:
        lost_count: number of losses.
    """

    def __init__(self, parley: str, marker: str, every: int) -> None:
        self._parley = parley
        self._marker = marker
        self._every = every
        self._message_count = 0
        self._server: Server | None = None
        self.lost_count = 0

    async def __aenter__(self) -> AnswerLosingRelay:
        self._server = await serve(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """Host and port of the relay."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _relay(self, client: ServerConnection) -> None:
        assert client.request is not None
        async with connect(f"ws://{self._parley}{client.request.path}", open_timeout=60) as parley:
            async for message in client:
                is_marked = self._marker in str(message)
                self._message_count += is_marked
                is_lost = is_marked and self._message_count % self._every == 0
                self.lost_count += is_lost
                # Parley never sees the message of every second loss.
                if not is_lost or self.lost_count % 2:
                    await parley.send(message)
                    answer = await parley.recv()
                if is_lost:
                    client.transport.abort()
                    return
                await client.send(answer)
