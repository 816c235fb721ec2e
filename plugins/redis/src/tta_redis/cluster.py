"""A Cluster: many masters, and the map that says which of them has which slot."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from redis.exceptions import ResponseError

from .config import Address, Config
from .connection import Connection, Login, pack
from .errors import ConnectionLost, Refused, Unreachable
from .nodes import Endpoint, Nodes, least_busy

SLOTS = 16384
MAP_FRESH = 0.05
"""For how long, in seconds, a map isn't asked for again."""


class _Node:
    """One server: a connection that all share, and some for calls that wait for replicas."""

    def __init__(self, address: Address, login: Login, config: Config) -> None:
        async def connect() -> Connection:
            connection = await login.open(address)
            if connection.greeting.get("mode") == "cluster":
                return connection
            connection.abort("it is no part of a Cluster")
            raise Refused(f"{address}: it is no part of a Cluster; set url or sentinel, not cluster")

        self.address = address
        self.main = Endpoint(connect, config.retry)
        self.waiting = [Endpoint(connect, config.retry) for _ in range(config.replica_connections)]

    def endpoints(self) -> Sequence[Endpoint]:
        return [self.main, *self.waiting]


class Cluster(Nodes):
    """The masters of a Cluster, by slot."""

    def __init__(self, login: Login, seeds: Sequence[Address], config: Config) -> None:
        self._login = login
        self._seeds = seeds
        self._config = config
        self._nodes: dict[Address, _Node] = {}
        self._replicas: list[Address] = []
        self._owners: list[_Node | None] = [None] * SLOTS
        self._stale = True
        """Whether the map is to be asked for before the next connection that isn't there."""
        self._maps = 0
        self._mapped_at = 0.0
        self._hint: Address | None = None
        """Where a MOVED pointed: it knows the newest map."""
        self._suspect: Address | None = None
        """Who failed last, and is asked for the map last."""
        self._lock = anyio.Lock()

    def ready(self, slot: int) -> Connection | None:
        if slot >= 0:
            node = self._owners[slot]
            connection = None if node is None else node.main.connection
            return connection if connection is not None and connection.open else None
        for node in self._nodes.values():
            if node.main.connection is not None and node.main.connection.open:
                return node.main.connection
        return None

    async def reach(self, slot: int, *, waits: bool = False) -> Connection:
        if self._stale:
            await self._refresh()
        node = self._owners[slot] if slot >= 0 else random.choice([*self._nodes.values()])  # noqa: S311  # no secret
        if node is None:
            self._stale = True
            raise Unreachable(f"no server has the slot {slot}")
        try:
            return await (least_busy(node.waiting) if waits else node.main).reach()
        except (Unreachable, ConnectionLost):
            self._stale = True
            self._suspect = node.address
            raise

    async def reach_any(self, kind: Callable[..., Connection]) -> Connection:
        if self._stale:
            await self._refresh()
        address = random.choice([*self._nodes])  # noqa: S311  # no secret
        try:
            return await self._login.open(address, kind)
        except Unreachable:
            self._stale = True
            self._suspect = address
            raise

    async def redirect(self, error: str, connection: Connection, *, waits: bool) -> Connection | None:
        kind, slot, place = error.split()[:3]
        host, _, port = place.rpartition(":")
        node = self._node(Address(host.strip("[]") or connection.address.host, int(port)))
        if kind == "MOVED":
            self._owners[int(slot)] = node
            self._hint = node.address
            self._stale = True
            return None
        return await (least_busy(node.waiting) if waits else node.main).reach()

    def distrust(self, connection: Connection) -> None:
        self._stale = True
        self._suspect = connection.address

    def masters(self) -> Sequence[tuple[Address | None, int]]:
        found: dict[Address | None, int] = {}
        for slot, node in enumerate(self._owners):
            found.setdefault(None if node is None else node.address, slot)
        return [*found.items()]

    def connections(self) -> Sequence[Connection]:
        endpoints = [endpoint for node in self._nodes.values() for endpoint in node.endpoints()]
        return [endpoint.live for endpoint in endpoints if endpoint.live is not None]

    def close(self) -> None:
        for node in self._nodes.values():
            for endpoint in node.endpoints():
                endpoint.retire(now=True)

    def _node(self, address: Address) -> _Node:
        if address not in self._nodes:
            self._nodes[address] = _Node(address, self._login, self._config)
        return self._nodes[address]

    async def _refresh(self) -> None:
        """Ask who has which slots: once, for all who want to know."""
        before = self._maps
        async with self._lock:
            if self._maps > before or (self._maps and anyio.current_time() - self._mapped_at < MAP_FRESH):
                return
            known = [*dict.fromkeys([*self._nodes, *self._replicas, *self._seeds])]
            random.shuffle(known)
            # First whoever redirected us, last whoever failed.
            known.sort(key=lambda address: (address == self._suspect) - (address == self._hint))
            problems: list[Exception] = []
            for start in range(0, len(known), 3):
                if slots := await self._first(known[start : start + 3], problems):
                    self._take(slots)
                    return
            refused = [problem for problem in problems if isinstance(problem, Refused)]
            raise refused[0] if refused else Unreachable("; ".join(sorted(map(str, problems))))

    async def _first(self, those: Sequence[Address], problems: list[Exception]) -> list[Any]:
        """Return the map of whoever answers first."""
        found: list[Any] = []

        async def ask(address: Address) -> None:
            nonlocal found
            try:
                # A known server keeps its connection; a seed may never be needed again.
                connection = await self._node(address).main.reach()
                answer = await connection.send(pack(("CLUSTER", "SLOTS")), 1, self._config.socket_timeout)
            except (Unreachable, Refused, ConnectionLost) as exc:
                problems.append(exc)
            else:
                if isinstance(answer, ResponseError) or not answer:
                    problems.append(Unreachable(f"{address}: {answer or 'it has no slots'}"))
                elif not found:
                    found = [(address, part) for part in answer]
                    tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.cancel_scope.deadline = anyio.current_time() + self._config.connect_timeout + 1
            for address in those:
                tasks.start_soon(ask, address)
        return found

    def _take(self, parts: Sequence[tuple[Address, list[Any]]]) -> None:
        owners: list[_Node | None] = [None] * SLOTS
        replicas = set()
        for asked, (first, last, *servers) in parts:
            places = [Address(each[0].decode() if each[0] else asked.host, int(each[1])) for each in servers]
            node = self._node(places[0])
            replicas.update(places[1:])
            owners[first : last + 1] = [node] * (last + 1 - first)
        kept = {node.address: node for node in owners if node is not None}
        for address, node in self._nodes.items():
            if address not in kept:
                for endpoint in node.endpoints():
                    endpoint.retire()
        self._nodes = kept
        self._owners = owners
        self._replicas = sorted(replicas)
        self._stale = False
        self._hint = None
        self._suspect = None
        self._maps += 1
        self._mapped_at = anyio.current_time()
