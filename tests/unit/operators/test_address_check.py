"""operators/address_check.py: no special-purpose address is public, in no form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.address_check import is_public_address

REFUSED_IPV4 = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
]
REFUSED_IPV6 = [
    *("::/128", "::1/128", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "3fff::/20"),
    *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "8000::/1", "4000::/2"),
]


def members(network: IPv4Network | IPv6Network) -> st.SearchStrategy[int]:
    first, last = int(network.network_address), int(network.broadcast_address)
    return st.one_of(st.just(first), st.just(last), st.integers(first, last))


def forms_of(address: int) -> list[str]:
    """An IPv4 address, and the IPv6 addresses that lead to it."""
    mapped, nat64 = IPv6Address(0xFFFF << 32 | address), IPv6Address((0x64FF9B << 96) | address)
    six_to_four = IPv6Address(0x2002 << 112 | address << 80 | 1)
    return [str(IPv4Address(address)), str(mapped), str(nat64), str(six_to_four)]


@given(st.sampled_from(REFUSED_IPV4).flatmap(lambda network: members(IPv4Network(network))))
def test_no_special_ipv4_address_is_public_in_any_form(address: int) -> None:
    assert [form for form in forms_of(address) if is_public_address(form)] == []


@given(st.sampled_from(REFUSED_IPV6).flatmap(lambda network: members(IPv6Network(network))))
def test_no_special_ipv6_address_is_public(address: int) -> None:
    assert not is_public_address(str(IPv6Address(address)))


@given(st.integers(0, 2**32 - 1))
def test_an_embedded_address_counts_like_the_address_itself(address: int) -> None:
    assert len({is_public_address(form) for form in forms_of(address)}) == 1
    if IPv4Address(address).is_private or IPv4Address(address).is_multicast:
        assert not is_public_address(str(IPv4Address(address)))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("99.255.255.255", True),
        ("172.15.255.255", True),
        ("172.32.0.0", True),
        ("2606:4700::1111", True),
        ("2002:101:101::1", True),
        ("64:ff9b::1.1.1.1", True),
        # Metadata services.
        ("169.254.169.254", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("192.0.0.192", False),
        ("168.63.129.16", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("2606:4700::1111%eth0", False),
    ],
)
def test_known_addresses(address: str, public: bool) -> None:
    assert is_public_address(address) is public


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="localhost"):
        is_public_address("localhost")
