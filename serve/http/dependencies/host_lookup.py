"""The check of a host that a request names, before the name is stored. The address is checked again at each connection."""

from __future__ import annotations

import asyncio
import socket

from operators.address_check import AddressRule
from operators.errors import InvalidInputError

LOOKUP_TIMEOUT_S = 10.0
"""Seconds to resolve a host."""


async def resolve_host(field: str, host: str, port: int, rule: AddressRule) -> list[str]:
    """Resolve a host, and check its addresses.

    Args:
        field: the request's field with the host.
        host: the host's name or address.
        port: the port.
        rule: the addresses that are allowed.

    Returns:
        The addresses.

    Raises:
        InvalidInputError: the host can't be resolved, or has an address that is refused.
    """
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise InvalidInputError(field, "its host can't be resolved: check its name") from None
    addresses = [str(address[0]) for *_, address in found]
    for address in addresses:
        if (refusal := rule.find_refusal(address)) is not None:
            raise InvalidInputError(field, refusal)
    return addresses
