"""The network between the flow and a store on loopback: it can be slow, break off, or say nothing at all."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading


class FaultyStoreProxy:
    """Passes on to a port of loopback, from a thread of its own.

    Args:
        port: the store's.
        at: the socket it listens on; None for one on loopback.

    Attributes:
        address: host and port where it is to be reached instead.
        delay: seconds that each piece takes to the store; what comes back is not delayed.
    """

    def __init__(self, port: int, listening_socket: socket.socket | None = None) -> None:
        self._store_port, self._socket = port, listening_socket or socket.create_server(("127.0.0.1", 0))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._is_silent = False
        self._links: set[_Link] = set()
        self.delay_s = 0.0
        self.address = "{}:{}".format(*self._socket.getsockname())

    def __enter__(self) -> FaultyStoreProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> int:
        """Break off every connection there is. Returns how many."""
        return asyncio.run_coroutine_threadsafe(self._reset(self._links), self._loop).result(60)

    def silence(self) -> None:
        """Swallow whatever comes, on old connections and on new ones, without a word to either side."""
        self._is_silent = True

    def restore(self) -> None:
        """Pass on again. What was swallowed is gone: connections that lost something are broken off."""
        self._is_silent = False
        lossy = {link for link in self._links if link.is_lossy}
        asyncio.run_coroutine_threadsafe(self._reset(lossy), self._loop).result(60)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._on_connection, sock=self._socket)

    async def _close(self) -> None:
        self._server.close()
        await self._reset(self._links)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        for task_result in await asyncio.gather(*tasks, return_exceptions=True):
            # One that the reset reached first ends by it, and not by being cancelled.
            if not isinstance(task_result, asyncio.CancelledError | OSError | None):
                raise task_result

    async def _reset(self, links: set[_Link]) -> int:
        to_reset = list(links)
        for link in to_reset:
            link.abort()
        return len(to_reset)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            store_reader, link.store = await asyncio.open_connection("127.0.0.1", self._store_port)
            await asyncio.gather(
                self._forward(link, reader, link.store, True), self._forward(link, store_reader, writer, False)
            )
        except OSError:
            pass  # The store is away, or one end broke off: so does the other.
        finally:
            link.abort()
            self._links.discard(link)

    async def _forward(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_delayed: bool
    ) -> None:
        while data := await source.read(65536):
            if is_delayed and self.delay_s:
                await asyncio.sleep(self.delay_s)
            link.is_lossy = link.is_lossy or self._is_silent
            if not link.is_lossy:
                sink.write(data)
                await sink.drain()
        raise ConnectionResetError


class _Link:
    """A client's connection and the one to the store behind it; `lossy` once something of it was swallowed."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client, self.store, self.is_lossy = client, None, False

    store: asyncio.StreamWriter | None

    def abort(self) -> None:
        for end in (self.client, self.store):
            if end is not None and not end.transport.is_closing():
                # A reset, which is sent once, and not an orderly end, which is sent until somebody hears it.
                linger = struct.pack("ii", 1, 0)
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                end.transport.abort()
