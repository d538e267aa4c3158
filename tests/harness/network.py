"""The network between a client and a server on loopback, which a test can cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from cluster.ports import free_port


class Network:
    """What lies between a browser and the server: passes on, refuses, or swallows everything without a word.

    Args:
        port: the server's, on loopback.

    Attributes:
        accepted: connections that clients made so far.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._swallows = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = free_port()
        self.accepted = 0

    async def __aenter__(self) -> Network:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut("refuse")

    async def cut(self, how: Literal["refuse", "swallow"]) -> None:
        """Cut the connection: reset what is there and refuse what comes, or swallow both without a sign."""
        if how == "swallow":
            self._swallows = True
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
        self._swallows = False
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        away, back = await asyncio.open_connection("127.0.0.1", self._port)
        ends = {writer, back}
        if self._server is None:
            # It was cut before this one stood.
            for end in ends:
                end.transport.abort()
            return
        self._writers |= ends
        dead = False

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal dead
            while data := await source.read(65536):
                dead = dead or self._swallows
                if not dead:
                    sink.write(data)
                    await sink.drain()
            if not dead:
                sink.close()

        tasks = {asyncio.create_task(pass_on(reader, back)), asyncio.create_task(pass_on(away, writer))}
        self._tasks |= tasks
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            end.transport.abort()
        self._tasks -= tasks
        self._writers -= ends
