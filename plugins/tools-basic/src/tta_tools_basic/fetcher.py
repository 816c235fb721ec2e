"""The client: one address after another, each checked before it is connected to."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tta_tools import ToolError

from .addresses import is_allowed
from .web import NAME, FetchConfig, Page

_TEXTS = re.compile(r"text/[a-z0-9.+-]+|application/(json|xml|[a-z0-9.+-]+\+(json|xml))")
_CHARSETS = frozenset({"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"})
"""What a server may say; Python knows more, and some are slow, or no text."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


async def resolved(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Fetcher:
    """Fetches what a config allows; ``resolve`` finds the addresses of a host."""

    def __init__(self, config: FetchConfig, resolve: Callable[[str, int], Awaitable[Sequence[str]]]) -> None:
        self._config = config
        self._resolve = resolve
        self._networks = [ipaddress.ip_network(each) for each in config.networks]

    async def fetch(self, text: str) -> Page:
        try:
            with anyio.fail_after(self._config.timeout):
                return await self._follow(text)
        except TimeoutError:
            raise ToolError("timed_out", f"{NAME}: the server took longer than {self._config.timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            # Nothing of its text: it holds the address.
            raise ToolError("failed", f"{NAME}: {type(exc).__name__}", retryable=True) from None

    async def _follow(self, text: str) -> Page:
        try:
            url = _parsed(text)
        except ValueError:
            raise ToolError("invalid_arguments", f"{NAME}: this is no address", path="url") from None
        for _ in range(self._config.redirects + 1):
            found = await self._get(url)
            if isinstance(found, Page):
                return found
            url = _parsed(found, url)
        raise ToolError("failed", f"{NAME}: there were more than {self._config.redirects} redirects")

    async def _get(self, url: URL) -> Page | str:
        """Fetch one address, or return where it leads."""
        addresses = await self._addresses(url)
        connector = aiohttp.TCPConnector(resolver=_Known(addresses), use_dns_cache=False, limit=1)
        # What is packed isn't taken: a few bytes of it can be gigabytes.
        headers = {"Accept-Encoding": "identity", "User-Agent": "tta", "Accept": "text/*, application/json, */*;q=0.1"}
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
            ) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status in _REDIRECTS and (location := answer.headers.get("Location")):
                return location
            return await self._page(answer)

    async def _addresses(self, url: URL) -> Sequence[str]:
        """Return where to connect, once all of it is allowed: this address, and no other, is what is connected to."""
        config = self._config
        schemes = ("https", "http") if config.http else ("https",)
        if url.scheme not in schemes or url.port not in config.ports:
            raise _denied("its scheme or port isn't allowed")
        if url.user is not None or url.password is not None:
            raise _denied("it holds a name or a password")
        host = (url.raw_host or "").lower().rstrip(".")
        if not any(_matches(host, pattern) for pattern in config.hosts):
            raise _denied("its host isn't one of `hosts`")
        addresses = [host] if _is_address(host) else await self._resolve(host, url.port)
        # One that isn't allowed is enough: a name of two faces is meant to deceive.
        if not addresses or not all(is_allowed(each, self._networks) for each in addresses):
            raise _denied("its host has an address that isn't the internet's")
        return list(dict.fromkeys(addresses))

    async def _page(self, answer: aiohttp.ClientResponse) -> Page:
        type_ = answer.content_type.lower()
        if not _TEXTS.fullmatch(type_):
            raise ToolError("failed", f"{NAME}: the server sends neither text nor JSON")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ToolError("failed", f"{NAME}: the server sends what is packed, though it was asked not to")
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > self._config.max_bytes:
                raise ToolError("too_large", f"{NAME}: the text has more than {self._config.max_bytes} bytes")
        said = (answer.charset or "utf-8").lower()
        text = body.decode(said if said in _CHARSETS else "utf-8", errors="replace")
        return Page(answer.status, type_, text)


class _Known(AbstractResolver):
    """Gives the addresses that were checked, and asks nobody again: another answer could be another address."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=each, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
            )
            for each in self._addresses
        ]  # fmt: skip

    async def close(self) -> None:
        pass


def _parsed(text: str, base: URL | None = None) -> URL:
    # Programs read these in more than one way.
    if re.search(r"[\s\\\x00-\x20\x7f]", text) or len(text) > 2048:
        raise ValueError("characters that no address has")
    url = URL(text)
    return (url if base is None else base.join(url)).with_fragment(None)


def _matches(host: str, pattern: str) -> bool:
    if pattern == "*":
        return bool(host)
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern.strip("[]")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _denied(why: str) -> ToolError:
    return ToolError("denied", f"{NAME}: this address is not fetched: {why}")
