"""Fetch a text over HTTP, from hosts that are named, and never from a network of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from msgspec import Meta

from tta_tools import Tool

from .web import NAME, FetchConfig, Page

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host."""
Url = Annotated[str, Meta(min_length=8, max_length=2048, description="an address that begins with https://")]


def fetch_tool(config: FetchConfig, resolve: Resolve | None = None) -> Tool:
    """Make the tool; ``resolve`` finds addresses otherwise than the system does."""
    # The client is slow to import, and only who fetches needs it.
    from .fetcher import Fetcher, resolved

    fetcher = Fetcher(config, resolve or resolved)

    async def fetch(url: Url) -> Page:
        return await fetcher.fetch(url)

    return Tool.of(
        fetch,
        name=NAME,
        version="1.0.0",
        description="Fetch a text or JSON over HTTPS, from the hosts that this deployment allows.",
        capabilities=("web",),
        safety_flags=("network",),
        idempotent=True,
        shared=True,
        told=True,
        # Its own limit comes first, and says more.
        timeout=config.timeout + 1,
    )
