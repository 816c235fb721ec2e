"""What an operator may set: where to listen, how long to wait, how much to take."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated

import msgspec

from tta_kernel import ConfigPath, Duration, PositiveDuration, Size

PORT = 8503
_Rate = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
_Many = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Bytes = Annotated[Size, msgspec.Meta(ge=1024, le=2**30)]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A listener's certificate; with ``client_ca``, that of callers is verified where they show one."""

    certificate: ConfigPath
    key: ConfigPath
    client_ca: ConfigPath | None = None


class Listener(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the server listens: an address, or the path of a Unix ``socket``. Port 0 is any that is free."""

    host: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9.:-]+$", max_length=253)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = PORT
    socket: ConfigPath | None = None
    tls: Tls | None = None

    @property
    def is_local(self) -> bool:
        """Whether nobody from another machine can come in here."""
        if self.socket or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests that one principal, or one address, may make: so many a second, and so many at once."""

    per_second: _Rate
    burst: _Many


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``header_timeout`` and ``body_timeout`` are for a request to arrive, ``write_timeout`` for an answer to be read.

    ``drain`` is how long requests are still taken after readiness is gone. ``hosts`` are further names under which
    the server may be asked. ``health_interval`` is how often plugins are asked how they are.
    """

    listeners: tuple[Listener, ...] = (Listener(),)
    hosts: tuple[str, ...] = ()
    header_timeout: PositiveDuration = 5.0
    body_timeout: PositiveDuration = 10.0
    write_timeout: PositiveDuration = 10.0
    idle_timeout: PositiveDuration = 30.0
    drain: Duration = 0.5
    health_interval: PositiveDuration = 5.0
    longest_header: _Bytes = 16 * 1024
    longest_body: _Bytes = 256 * 1024
    connections: _Many = 1_000
    rates: Mapping[str, Rate] = {}

    def rate(self, kind: str) -> Rate:
        """Return the limit for a class of routes; an unlisted one has that of this module."""
        return self.rates.get(kind) or RATES[kind]


RATES: Mapping[str, Rate] = {
    "probe": Rate(per_second=200, burst=400),
    "read": Rate(per_second=50, burst=100),
    "write": Rate(per_second=10, burst=20),
    "costly": Rate(per_second=2, burst=5),
}
