"""Which server a call goes to, and how to find it again after it has moved."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio

from .config import Address, Config, RetryConfig
from .connection import Connection
from .errors import Refused, Unreachable


class Nodes(Protocol):
    """The servers of a deployment; ``slot`` is a key's, -1 where a call has no key."""

    def ready(self, slot: int) -> Connection | None:
        """Return a connection that can be used at once."""

    async def reach(self, slot: int, *, waits: bool = False) -> Connection:
        """Return a connection, connecting where there is none; one that ``waits`` is for calls that hold it up."""

    async def reach_any(self, kind: Callable[..., Connection]) -> Connection:
        """Open a connection of its own to any server that hears what is published."""

    async def redirect(self, error: str, connection: Connection, *, waits: bool) -> Connection | None:
        """Follow MOVED and ASK; the connection to send ASKING and the call to, or None: look again."""

    def distrust(self, connection: Connection) -> None:
        """Look anew for the server of ``connection``: it is not what it was."""

    def connections(self) -> Sequence[Connection]:
        """Return all that are connected."""

    def masters(self) -> Sequence[tuple[Address | None, int]]:
        """Return each master, as far as known, and one of its slots."""

    def close(self) -> None:
        """End all connections."""


class Endpoint:
    """The way to one server: its connection, and a growing pause between attempts where there is none."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], retry: RetryConfig) -> None:
        self._connect = connect
        self._retry = retry
        self._lock = anyio.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._error: Unreachable | Refused | None = None
        self.connection: Connection | None = None
        self.times = 0
        """How often a connection was made."""
        self._retired = False

    @property
    def live(self) -> Connection | None:
        """The connection, unless there is none or it is lost."""
        return self.connection if self.connection is not None and not self.connection.lost else None

    async def reach(self) -> Connection:
        """Return the connection once it can be used; raise `Unreachable` after one attempt, whoever made it."""
        if self._retired:
            raise Unreachable("no longer needed")
        if self.live is None:
            before = self._failures
            async with self._lock:
                if self._failures > before and self._error is not None:
                    # Whoever had the lock tried and failed; a second try at once would fail likewise.
                    raise type(self._error)(str(self._error))
                if self.live is None:
                    await self._open()
        connection = self.connection
        assert connection is not None
        if not connection.open:
            await connection.writable()
        return connection

    async def _open(self) -> None:
        await anyio.sleep_until(self._not_before)
        try:
            self.connection = await self._connect()
        except (Unreachable, Refused) as exc:
            self._failures += 1
            self._error = exc
            self._not_before = anyio.current_time() + backoff(self._failures, self._retry)
            raise
        self._failures = 0
        self.times += 1
        if self._retired:
            self.connection.retire()

    def retire(self, *, now: bool = False) -> None:
        """Connect no more, and end the connection: ``now``, or when nothing is under way."""
        self._retired = True
        if self.live is not None:
            if now:
                self.live.abort("closed")
            else:
                self.live.retire()


def backoff(failures: int, retry: RetryConfig) -> float:
    """Return how long to wait after that many failures: random, so that not all come back at once."""
    most: float = min(retry.cap, retry.base * 2.0 ** min(failures, 30))
    return random.uniform(most / 4, most)  # noqa: S311  # no secret


class SingleMaster(Nodes):
    """One master at a time: the only server there is, or whoever the Sentinels say."""

    def __init__(self, connect: Callable[..., Awaitable[Connection]], config: Config) -> None:
        self._connect = connect
        self._main = Endpoint(connect, config.retry)
        self._waiting = [Endpoint(connect, config.retry) for _ in range(config.replica_connections)]

    def ready(self, slot: int) -> Connection | None:
        connection = self._main.connection
        return connection if connection is not None and connection.open else None

    async def reach(self, slot: int, *, waits: bool = False) -> Connection:
        return await (least_busy(self._waiting) if waits else self._main).reach()

    async def reach_any(self, kind: Callable[..., Connection]) -> Connection:
        return await self._connect(kind)

    async def redirect(self, error: str, connection: Connection, *, waits: bool) -> Connection | None:
        raise Refused(f"{connection.address}: it is a part of a Cluster; set cluster, not url")

    def distrust(self, connection: Connection) -> None:
        connection.abort("it is no longer the master")

    def masters(self) -> Sequence[tuple[Address | None, int]]:
        return [(self._main.connection.address if self._main.connection else None, -1)]

    def connections(self) -> Sequence[Connection]:
        return [endpoint.live for endpoint in (self._main, *self._waiting) if endpoint.live is not None]

    def close(self) -> None:
        for endpoint in (self._main, *self._waiting):
            endpoint.retire(now=True)


def least_busy(endpoints: Sequence[Endpoint]) -> Endpoint:
    """Return the one with the fewest calls under way; one that isn't connected yet only if all others are busy."""
    return min(endpoints, key=lambda endpoint: 0.5 if endpoint.live is None else endpoint.live.pending)
