"""Which addresses are the internet's, and which lead into a network of ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_GLOBAL = IPv6Network("2000::/3")
"""All else of IPv6 is somebody's own, or something else's: site-local, translated, NAT64 with a prefix of one's own."""
_REFUSED = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.88.99.0/24",  # relays of 6to4
        "2001::/32",  # Teredo
        "3fff::/20",  # documentation, which Python doesn't know yet
    )
)
_SECRETS = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure, and one of the internet's
            "192.0.0.192",  # Oracle, and to older Pythons one of the internet's
            "fd00:ec2::254",  # Amazon
            "fd20:ce::254",  # Google
        ),
    )
)
"""Where clouds answer for their secrets, and no address is link-local."""
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_allowed(text: str, also: Sequence[Network] = ()) -> bool:
    """Say whether to connect to an address, as a resolver gives it.

    What isn't the internet's is refused unless a network of ``also`` holds it; link-local addresses and others where
    clouds answer for their secrets, multicast and none at all are always refused.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # An address that carries another leads where that one does.
    while (inner := _carried(address)) is not None:
        address = inner
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _SECRETS:
        return False
    if any(address in network for network in also):
        return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL:
        return False
    return address.is_global and not any(address in network for network in _REFUSED)


def _carried(address: Address) -> Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _6TO4:
        return address.sixtofour
    bits = int(address)
    if address in _NAT64 or (bits >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(bits & 0xFFFFFFFF)
    return None
