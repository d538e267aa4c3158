"""The check of IP addresses to which users of the API let Parley connect. They are public, unless a setting allows others.

The networks are those that IANA's special-purpose registries mark as not globally reachable, and Azure's metadata address.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

PRIVATE_SETTING = "PARLEY_PRIVATE_ADDRESSES"
"""The setting that allows private addresses and `http://`."""

_REFUSED_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # CGNAT, with Alibaba's metadata address
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata address, which is public by its number only
        "169.254.0.0/16",  # link-local, with the metadata address of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_REFUSED_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, with Teredo
        "2001:db8::/32",
        "3fff::/20",
    )
)
_NAT64, _6TO4 = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")


@dataclass(frozen=True, slots=True)
class AddressRule:
    """The addresses to which Parley connects: public ones, and those that are allowed.

    Attributes:
        private_allowed: whether all other addresses are allowed, and `http://`.
        loopback_allowed: whether this machine's loopback addresses are allowed. Only users of this machine may call Parley then.
    """

    private_allowed: bool = False
    loopback_allowed: bool = False

    def find_refusal(self, address: str) -> str | None:
        """Return why an IP address is refused, in words for the user; None if it is allowed."""
        if self.private_allowed or is_public_address(address):
            return None
        if self.loopback_allowed and is_loopback_address(address):
            return None
        return f"its address {address} is not public ({PRIVATE_SETTING} allows it)"


def is_loopback_address(address: str) -> bool:
    """Return whether an IP address is one of this machine's own loopback addresses."""
    parsed = ip_address(address)
    embedded = _embedded_ipv4(parsed) if isinstance(parsed, IPv6Address) else None
    return (embedded or parsed).is_loopback


def is_public_address(address: str) -> bool:
    """Return whether an IP address is reachable from the whole internet.

    Private, loopback, link-local, CGNAT, multicast, reserved and metadata addresses are not. An IPv6 address that embeds an
    IPv4 address (IPv4-mapped, 6to4, NAT64) is public if that one is.

    Args:
        address: an IPv4 or IPv6 address, as a resolver returns it.

    Raises:
        ValueError: the text is no IP address.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_IPV4)
    embedded = _embedded_ipv4(parsed)
    if embedded is not None:
        return is_public_address(str(embedded))
    # A zone id (`%eth0`) belongs to addresses of one link only.
    return (
        parsed.scope_id is None
        and parsed in _GLOBAL_UNICAST
        and not any(parsed in network for network in _REFUSED_IPV6)
    )


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _6TO4:
        return IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    return address.ipv4_mapped
