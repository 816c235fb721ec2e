"""Where Neo4j is, who we are there, and how long it may take."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tta_kernel import ConfigPath, PositiveDuration, Secret
from tta_world import WorldConfig

Limit = Annotated[PositiveDuration, Meta(le=3600)]
SCHEMES = ("neo4j", "bolt")
_PLAIN_ADDRESS = re.compile(r"localhost|.*\.localhost")


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files; without ``ca`` the system's authorities count."""

    ca: ConfigPath | None = None
    cert: ConfigPath | None = None
    key: ConfigPath | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if bool(self.key) != bool(self.cert):
            raise ValueError("tls.key and tls.cert belong together: name both, or none")

    def arguments(self) -> dict[str, Any]:
        """Return what the driver is told of it."""
        from neo4j import TrustAll, TrustCustomCAs, TrustSystemCAs
        from neo4j.auth_management import AsyncClientCertificateProviders, ClientCertificate

        trusted = TrustCustomCAs(str(self.ca)) if self.ca else TrustSystemCAs()
        found: dict[str, Any] = {"encrypted": True, "trusted_certificates": trusted if self.verify else TrustAll()}
        if self.cert and self.key:
            certificate = ClientCertificate(str(self.cert), str(self.key))
            found["client_certificate"] = AsyncClientCertificateProviders.static(certificate)
        return found


class Config(WorldConfig, frozen=True, forbid_unknown_fields=True):
    """``url`` is ``neo4j://HOST:PORT`` for a cluster, ``bolt://HOST:PORT`` for one server; ``tls`` encrypts either.

    ``prefix`` tells deployments apart that share a database. Without a ``user`` nobody is logged in. ``plain`` allows
    what is sent to another host to be read on its way.
    """

    url: str = "neo4j://127.0.0.1:7687"
    database: Annotated[str, Meta(min_length=1, max_length=63)] = "neo4j"
    user: str = "neo4j"
    password: Secret = ""
    tls: Tls | None = None
    plain: bool = False
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")] = "tta"
    connections: Annotated[int, Meta(ge=1, le=1000)] = 20
    connect_timeout: Limit = 5.0
    """Until a server has accepted us, and until one of our connections is free."""
    query_timeout: Limit = 5.0
    """The longest that the server works on a transaction; then it ends it."""
    retry_for: Limit = 5.0
    """For how long what has failed only for now, such as a deadlock or a new leader, is tried again."""
    call_timeout: Limit = 15.0
    """The longest that a call takes in all."""
    poll: Limit = 1.0
    """How often a subscriber asks for what other processes have changed."""
    sweep: Annotated[PositiveDuration, Meta(le=86400 * 7)] = 3600.0
    """How often what has ended is deleted."""
    cached: Annotated[int, Meta(ge=0, le=100_000)] = 500
    """How many worlds that were read are remembered, each for ``cache``."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError("url reads neo4j://HOST:PORT or bolt://HOST:PORT; how it is encrypted stands under tls")
        if parts.username or parts.password:
            raise ValueError("url has a user in it: say user and password beside it")

    @property
    def exposed(self) -> bool:
        """Whether what is sent could be read on its way."""
        return self.tls is None and not _is_loopback(urlsplit(self.url).hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return _PLAIN_ADDRESS.fullmatch(host) is not None
