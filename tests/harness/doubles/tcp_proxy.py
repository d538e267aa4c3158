"""The network between a client and a server on loopback, which a test can cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from cluster.ports import find_free_port


class TcpProxy:
    """What lies between a browser and the server: passes on, refuses, or swallows everything without a word.

    Args:
        port: the server's, on loopback.

    Attributes:
        accepted: connections that clients made so far.
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
        """Cut the connection: reset what is there and refuse what comes, or swallow both without a sign."""
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
        """Pass on again. Connections that something was swallowed of stay dead."""
        self._drops = False
        if self._server is None:
            self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", self.port)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writers = {writer, server_writer}
        if self._server is None:
            # It was cut before this one stood.
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
