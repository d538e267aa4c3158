"""Connections to addresses that users of the API name. They lead to allowed addresses only.

The address is checked after the name was resolved, where the socket is opened. The socket connects to that very address. So a
name that resolves to another address the next time gains nothing, and neither does a redirect. No proxy is used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Any, cast

import httpcore
import httpx

from operators.address_check import AddressRule
from operators.errors import MisconfiguredError

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Resolves a host and a port to IP addresses. It raises `OSError` if it can't."""
SocketAddress = tuple[int, int, int, str, tuple[Any, ...]]
"""A resolved address, as `socket.getaddrinfo` returns it."""


class RefusedAddressError(MisconfiguredError):
    """A host has an address that is refused."""


def open_http_client(rule: AddressRule) -> httpx.AsyncClient:
    """Open an HTTP client. The caller closes it.

    Args:
        rule: the addresses that are allowed. A request to another one raises `RefusedAddressError`.
    """
    return httpx.AsyncClient(transport=_CheckedTransport(rule))


def make_socket_factory(rule: AddressRule) -> Callable[[SocketAddress], socket.socket]:
    """Make a function that opens sockets to allowed addresses, for a connector of aiohttp.

    Args:
        rule: the addresses that are allowed. The function raises `RefusedAddressError` for another one.
    """

    def open_socket(target: SocketAddress) -> socket.socket:
        family, kind, protocol, _, address = target
        _check(rule, str(address[0]))
        return socket.socket(family, kind, protocol)

    return open_socket


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to checked addresses. Certificates and the header `Host` still have the URL's host.

    Args:
        rule: the addresses that are allowed.
        resolve: resolves names; by default the system's resolver.
    """

    def __init__(self, rule: AddressRule, resolve: Resolve | None = None) -> None:
        # Its type is unknown where `anyio` may be missing.
        self._backend = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())
        self._rule = rule
        self._resolve = resolve or _resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve a host, check all its addresses, and connect to the first that accepts.

        Raises:
            RefusedAddressError: one of its addresses is refused.
            OSError: the host has no address.
        """
        addresses = list(dict.fromkeys(await self._resolve(host, port)))
        for address in addresses:
            _check(self._rule, address)
        failure: Exception = OSError("no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL leads to a Unix socket."""
        raise RefusedAddressError("a Unix socket is no public address")

    async def sleep(self, seconds: float) -> None:
        """Sleep, between two attempts to connect."""
        await self._backend.sleep(seconds)


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """The transport of httpx, over checked connections: httpx has no parameter for them."""

    def __init__(self, rule: AddressRule) -> None:
        super().__init__(verify=_ssl_context(), trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=_ssl_context(), network_backend=CheckedBackend(rule))


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return the context of all clients. To load the certificates takes longer than a request."""
    return httpx.create_ssl_context()


def _check(rule: AddressRule, address: str) -> None:
    if (refusal := rule.find_refusal(address)) is not None:
        raise RefusedAddressError(refusal)


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
