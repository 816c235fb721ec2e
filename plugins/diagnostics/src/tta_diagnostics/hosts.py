"""Under which names the server may be asked, and from which pages: what keeps a foreign page's scripts out."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

from .config import Config

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


class Hosts:
    """Judges the headers ``Host`` and ``Origin``.

    A page of a stranger can let its own name point at this machine (DNS rebinding), but not change what its browser
    sends as ``Host``. So a name must be one of ours; an address can't be rebound, and is always right.
    """

    def __init__(self, config: Config, public_url: str = "") -> None:
        public = urlsplit(public_url)
        ours = {each.host.lower() for each in config.listeners if not each.socket}
        self._names = {"localhost", *ours, *(each.lower() for each in config.hosts)}
        if public.hostname:
            self._names.add(public.hostname.lower())
        self._origins = {f"{public.scheme}://{public.netloc}".lower()} if public.netloc else set[str]()

    @lru_cache(256)  # noqa: B019 - it lives as long as the server
    def accepts(self, host: str) -> bool:
        """Say whether this may stand in ``Host``."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        return name in self._names or _is_address(name.strip("[]"))

    def accepts_origin(self, origin: str, host: str, scheme: str) -> bool:
        """Say whether a page from there may ask: one of this server's own."""
        return origin.lower() in self._origins or origin.lower() == f"{scheme}://{host}".lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def network_of(address: str) -> str:
    """Return under which address a caller without a name is counted: of IPv6 the network, of which it has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6:
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
