"""Which server a call goes to, and how to find it again after it has moved."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio

from .config import Address, Config, RetryConfig
from .errors import Refused, Unreachable
from .link import Link


class Nodes(Protocol):
    """The servers of a deployment; ``slot`` is a key's, -1 where a call has no key."""

    def ready(self, slot: int) -> Link | None:
        """Return a link that can be used at once."""

    async def reach(self, slot: int, *, waits: bool = False) -> Link:
        """Return a link, connecting where there is none; one that ``waits`` is for calls that hold it up."""

    async def reach_any(self, kind: Callable[..., Link]) -> Link:
        """Open a connection of its own to any server that hears what is published."""

    async def redirect(self, error: str, link: Link, *, waits: bool) -> Link | None:
        """Follow MOVED and ASK; the link to send ASKING and the call to, or None: look again."""

    def distrust(self, link: Link) -> None:
        """Look anew for the server of ``link``: it is not what it was."""

    def links(self) -> Sequence[Link]:
        """Return all that are connected."""

    def masters(self) -> Sequence[tuple[Address | None, int]]:
        """Return each master, as far as known, and one of its slots."""

    def close(self) -> None:
        """End all connections."""


class Line:
    """The way to one server: its link, and a growing pause between attempts where there is none."""

    def __init__(self, connect: Callable[[], Awaitable[Link]], retry: RetryConfig) -> None:
        self._connect, self._retry = connect, retry
        self._lock = anyio.Lock()
        self._failures, self._not_before = 0, 0.0
        self._error: Unreachable | Refused | None = None
        self.link: Link | None = None
        self.times = 0
        """How often a connection was made."""
        self._retired = False

    async def reach(self) -> Link:
        """Return the link once it can be used; raise `Unreachable` after one attempt, whoever made it."""
        if self._retired:
            raise Unreachable("no longer needed")
        if self.link is None or self.link.lost:
            before = self._failures
            async with self._lock:
                if self._failures > before and self._error is not None:
                    raise type(self._error)(str(self._error))
                if self.link is None or self.link.lost:
                    await self._open()
        link = self.link
        assert link is not None
        if not link.open:
            await link.writable()
        return link

    async def _open(self) -> None:
        await anyio.sleep_until(self._not_before)
        try:
            self.link = await self._connect()
        except (Unreachable, Refused) as exc:
            self._failures += 1
            self._error = exc
            self._not_before = anyio.current_time() + pause(self._failures, self._retry)
            raise
        self._failures = 0
        self.times += 1
        if self._retired:
            self.link.retire()

    def retire(self, *, now: bool = False) -> None:
        """Connect no more, and end the connection: ``now``, or when nothing is under way."""
        self._retired = True
        if self.link is not None and not self.link.lost:
            if now:
                self.link.abort("closed")
            else:
                self.link.retire()


def pause(failures: int, retry: RetryConfig) -> float:
    """Return how long to wait after that many failures: random, so that not all come back at once."""
    most: float = min(retry.cap, retry.base * 2.0 ** min(failures, 30))
    return random.uniform(most / 4, most)  # noqa: S311  # no secret


class One(Nodes):
    """One master at a time: the only server there is, or whoever the Sentinels say."""

    def __init__(self, connect: Callable[..., Awaitable[Link]], config: Config) -> None:
        self._connect = connect
        self._main = Line(connect, config.retry)
        self._waiting = [Line(connect, config.retry) for _ in range(config.replica_connections)]

    def ready(self, slot: int) -> Link | None:
        link = self._main.link
        return link if link is not None and link.open else None

    async def reach(self, slot: int, *, waits: bool = False) -> Link:
        return await (idlest(self._waiting) if waits else self._main).reach()

    async def reach_any(self, kind: Callable[..., Link]) -> Link:
        return await self._connect(kind)

    async def redirect(self, error: str, link: Link, *, waits: bool) -> Link | None:
        raise Refused(f"{link.address}: it is a part of a Cluster; set cluster, not url")

    def distrust(self, link: Link) -> None:
        link.abort("it is no longer the master")

    def masters(self) -> Sequence[tuple[Address | None, int]]:
        return [(self._main.link.address if self._main.link else None, -1)]

    def links(self) -> Sequence[Link]:
        return [line.link for line in (self._main, *self._waiting) if line.link is not None and not line.link.lost]

    def close(self) -> None:
        for line in (self._main, *self._waiting):
            line.retire(now=True)


def idlest(lines: Sequence[Line]) -> Line:
    """Return the line with the fewest calls under way; one that isn't connected yet only if all others are busy."""
    return min(lines, key=lambda line: line.link.pending if line.link is not None and not line.link.lost else 0.5)
