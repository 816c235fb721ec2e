"""How often a caller may show wrong credentials: a token bucket for each address, and one for what is told of it."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

MOST = 10_000
"""Addresses that are remembered; the one that failed longest ago goes first."""


class Bucket:
    """Holds up to ``size`` tokens, and gets as many in a minute (the token bucket of RFC 2697)."""

    def __init__(self, size: int, now: float) -> None:
        self._size = size
        self._tokens = float(size)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; False where there is none."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """Return after how many seconds there is a token."""
        self._fill(now)
        return max(0.0, (1 - self._tokens) * 60 / self._size)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._size / 60)
        self._at = now


class Failures:
    """Who has failed how often of late, by address."""

    def __init__(self, per_minute: int) -> None:
        self._size = per_minute
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait(self, peer: str, now: float) -> float:
        """Return for how many seconds nothing more is tried for this address."""
        bucket = self._buckets.get(_group(peer))
        return bucket.wait(now) if bucket else 0.0

    def count(self, peer: str, now: float) -> None:
        """Note that it has failed."""
        group = _group(peer)
        bucket = self._buckets.pop(group, None) or Bucket(self._size, now)
        self._buckets[group] = bucket
        bucket.take(now)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)


def _group(peer: str) -> str:
    """Return what stands for an address: a host has a whole /64 of IPv6 to itself."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return address.packed[:8].hex()
    return peer
