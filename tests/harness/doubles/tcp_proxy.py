"""A TCP proxy between a client and a server on loopback, which simulates network failures."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from cluster.ports import find_free_port


class TcpProxy:
    """TCP proxy that forwards data, refuses connections, or silently drops data.

    Args:
        port: the server's port on loopback.

    Attributes:
        port: the proxy's port on loopback.
        connection_count: number of connections that clients have made so far.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._drops = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = find_free_port()
        self.connection_count = 0

    async def __aenter__(self) -> TcpProxy:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut("refuse")

    async def cut(self, mode: Literal["refuse", "swallow"]) -> None:
        """Interrupt the network.

        Args:
            mode: `refuse` resets open connections and refuses new ones; `swallow` drops all data silently.
        """
        if mode == "swallow":
            self._drops = True
            return
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def restore(self) -> None:
        """Forward data again. Connections with dropped data stay dead."""
        self._drops = False
        if self._server is None:
            self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", self.port)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writers = {writer, server_writer}
        if self._server is None:
            # The network was cut before this connection was established.
            for end in writers:
                end.transport.abort()
            return
        self._writers |= writers
        has_dropped = False

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal has_dropped
            while data := await source.read(65536):
                has_dropped = has_dropped or self._drops
                if not has_dropped:
                    sink.write(data)
                    await sink.drain()
            if not has_dropped:
                sink.close()

        tasks = {
            asyncio.create_task(pass_on(reader, server_writer)),
            asyncio.create_task(pass_on(server_reader, writer)),
        }
        self._tasks |= tasks
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        for end in writers:
            end.transport.abort()
        self._tasks -= tasks
        self._writers -= writers
