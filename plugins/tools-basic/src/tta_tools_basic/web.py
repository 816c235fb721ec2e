"""What may be fetched, and what comes of it."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from msgspec import Meta, Struct

from tta_kernel import PositiveDuration, Size

NAME = "web.fetch"
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\*|\[[0-9a-f:.]+\]")


class FetchConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """From which ``hosts`` (``example.org``, ``*.example.org`` for those below it, ``*`` for all) may be fetched.

    Without hosts there is no such tool. ``networks``: those of ours that may be reached all the same, such as
    fd12:3456:789a::/48. ``http``: also without TLS. ``max_bytes`` of a text, ``timeout`` for all of it, ``redirects``
    to follow.
    """

    hosts: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    ports: Annotated[tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(max_length=100)] = (443,)
    http: bool = False
    networks: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    max_bytes: Annotated[Size, Meta(ge=1, le=2**24)] = 131_072
    timeout: Annotated[PositiveDuration, Meta(le=300)] = 10.0
    redirects: Annotated[int, Meta(ge=0, le=20)] = 3


class Page(Struct, frozen=True):
    """What was fetched: the status, the type of what came, and its text."""

    status: int
    type: str
    text: str


def problem_of_host(host: str) -> str:
    """Say what is wrong with a host of the config; "" is nothing."""
    return "" if _HOST.fullmatch(host) else "is no host: it reads like example.org, *.example.org or *, in lower case"


def problem_of_network(network: str) -> str:
    """Say what is wrong with a network of the config; "" is nothing."""
    try:
        ipaddress.ip_network(network)
    except ValueError:
        return "is no network: it reads like fd12:3456:789a::/48"
    return ""
