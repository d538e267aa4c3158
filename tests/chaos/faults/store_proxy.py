"""A TCP proxy between the lanes and a store: it can delay data, reset connections, or drop everything silently."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading


class FaultyStoreProxy:
    """Forwards connections to a port on loopback, in its own thread.

    Args:
        port: the store's port.
        listening_socket: the socket the proxy listens on. None for a new one on loopback.

    Attributes:
        address: the proxy's `host:port`, to be used instead of the store's.
        delay_s: seconds by which each piece of data to the store is delayed. Responses are not delayed.
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
        """Reset every open connection. Returns the number of connections."""
        return asyncio.run_coroutine_threadsafe(self._reset(self._links), self._loop).result(60)

    def silence(self) -> None:
        """Drop all data on old and new connections, without notifying either side."""
        self._is_silent = True

    def restore(self) -> None:
        """Forward again. Dropped data is lost, so connections that lost data are reset."""
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
            # A task whose connection was reset may end with that error before it is cancelled.
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
            pass  # The store is down, or one end closed the connection: close the other end too.
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
    """A client's connection with its connection to the store. `is_lossy` is set once data was dropped."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client, self.store, self.is_lossy = client, None, False

    store: asyncio.StreamWriter | None

    def abort(self) -> None:
        for end in (self.client, self.store):
            if end is not None and not end.transport.is_closing():
                # Send a reset (RST): it is sent once, while an orderly close (FIN) is retransmitted until acknowledged.
                linger = struct.pack("ii", 1, 0)
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                end.transport.abort()
