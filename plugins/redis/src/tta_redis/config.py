"""Where Redis is, and how long it may take."""

from __future__ import annotations

import re
import ssl
from typing import Annotated, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec
from msgspec import Meta

from tta_kernel import ConfigPath, PositiveDuration, Secret

Limit = Annotated[PositiveDuration, Meta(le=3600)]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Hosts = Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]


_WRITE = (
    "write redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB, and in a password %23 for #, "
    "%2F for /, %3F for ? and %40 for @"
)


class Address(NamedTuple):
    """A host and its port; port 0 is a Unix socket of that path."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files; without ``ca`` the system's authorities count."""

    ca: ConfigPath | None = None
    cert: ConfigPath | None = None
    key: ConfigPath | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if self.key and not self.cert:
            raise ValueError("tls.key is of no use without tls.cert: name both")

    def context(self) -> ssl.SSLContext:
        """Read the files; raise an OSError or ValueError that says which can't be used."""
        context = ssl.create_default_context(cafile=self.ca)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert:
            context.load_cert_chain(self.cert, self.key)
        return context


class SentinelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Sentinels, what they call the master, and their own credentials."""

    hosts: Hosts
    master: Annotated[str, Meta(min_length=1)] = "mymaster"
    username: str = ""
    password: Secret = ""
    tls: bool = False

    def __post_init__(self) -> None:
        addresses(self.hosts, 26379)


class ClusterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some nodes of the Cluster, to ask for the others."""

    nodes: Hosts

    def __post_init__(self) -> None:
        addresses(self.nodes, 6379)


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often, and after which pauses, what certainly wasn't executed, or may be repeated, is tried again.

    The n-th pause is random, up to ``base`` · 2\\ :sup:`n` and ``cap``; the call's time limit stands above all.
    """

    times: Annotated[int, Meta(ge=0, le=1000)] = 100
    base: Limit = 0.02
    cap: Limit = 0.5


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``url`` is one server's; behind Sentinels, or of a Cluster, its host counts for nothing."""

    url: str = "redis://127.0.0.1:6379/0"
    sentinel: SentinelConfig | None = None
    cluster: ClusterConfig | None = None
    database: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    tls: Tls | None = None
    username: str = ""
    password: Secret = ""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")] = "tta"
    connect_timeout: Limit = 2.0
    """Until a server has accepted and greeted us."""
    socket_timeout: Limit = 5.0
    """The longest silence of a server that owes an answer; then the connection is given up."""
    command_timeout: Limit = 10.0
    """The longest that a call takes in all, with waiting for a connection and retries."""
    retry: RetryConfig = RetryConfig()
    max_pending: Count = 10_000
    """How many calls may be under way on one connection; further ones wait."""
    replica_connections: Count = 4
    """Connections per node for calls that wait for replicas, which others must not wait behind."""
    client_connections: Count = 10
    """Connections, at most, of the plain client."""
    slow: Limit = 0.25
    """A round trip from which on the health is degraded."""

    def __post_init__(self) -> None:
        self.server()
        if self.sentinel and self.cluster:
            raise ValueError("sentinel and cluster exclude each other: keep one")
        if self.cluster and self.number():
            raise ValueError("a Cluster has no databases but 0: leave out database, and that of the url")
        if self.sentinel and self.sentinel.tls and not self.secure:
            # Otherwise they would be spoken to in plain text.
            raise ValueError("sentinel.tls needs tls: name its files, or write 'tls: {}' for the system's authorities")

    def server(self) -> Server:
        """Read ``url``; raise a ValueError that doesn't quote it, since it may hold a password."""
        try:
            parts = urlsplit(self.url)
            port = 6379 if parts.port is None else parts.port
        except ValueError:
            raise ValueError(f"url: the host or the port can't be read; {_WRITE}") from None
        query = parse_qs(parts.query, keep_blank_values=True)
        if parts.scheme == "unix" and parts.path:
            where = Address(unquote(parts.path), 0)
            given = query.pop("db", [""])[0]
        elif parts.scheme in ("redis", "rediss") and re.fullmatch(r"\S+", parts.hostname or "") and port:
            where = Address(parts.hostname or "", port)
            given = parts.path.strip("/")
        else:
            raise ValueError(f"url: {_WRITE}")
        if query or parts.fragment:
            # Whoever wrote it meant something by it.
            raise ValueError(f"url: what follows '?' or '#' would count for nothing; {_WRITE}, and the rest as keys")
        if given and not (given.isascii() and given.isdigit()):
            raise ValueError("url: the database is no number")
        return Server(where, int(given or 0), unquote(parts.username or ""), _password(parts), parts.scheme == "rediss")

    def credentials(self) -> tuple[str, str]:
        """Return username and password, of the URL where they aren't set of their own."""
        server = self.server()
        return self.username or server.username, self.password or server.password

    def number(self) -> int:
        """Return the database's number."""
        return self.server().database if self.database is None else self.database

    @property
    def secure(self) -> Tls | None:
        """How TLS is spoken with the servers, or None."""
        return self.tls or (Tls() if self.server().tls else None)


class Server(NamedTuple):
    """What a URL says."""

    address: Address
    database: int
    username: str
    password: str
    tls: bool


def _password(parts: SplitResult) -> str:
    return unquote(parts.password or "")


def addresses(hosts: tuple[str, ...], default: int) -> list[Address]:
    """Read ``host``, ``host:port`` and ``[v6]:port``."""
    found = []
    for host in hosts:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+))(?::(\d{1,5}))?", host)
        if match is None or not 0 < int(match[3] or default) < 65536:
            raise ValueError(f"write HOST:PORT instead of {re.sub('.*@', '…@', host)!r}")
        found.append(Address(match[1] or match[2], int(match[3] or default)))
    return found
