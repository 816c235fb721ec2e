"""A Cluster: many masters, each with its slots, and the map that says whose is which."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from redis.exceptions import ResponseError

from .config import Address, Config
from .errors import LinkLost, Refused, Unreachable
from .link import Link, Login, pack
from .nodes import Line, Nodes, idlest

SLOTS = 16384
FRESH = 0.05
"""For how long, in seconds, a map isn't asked for again."""


class _Node:
    """One server: a line that all share, and some for calls that wait for replicas."""

    def __init__(self, address: Address, login: Login, config: Config) -> None:
        async def connect() -> Link:
            link = await login.open(address)
            if link.greeting.get("mode") == "cluster":
                return link
            link.abort("it is no part of a Cluster")
            raise Refused(f"{address}: it is no part of a Cluster; set url or sentinel, not cluster")

        self.address = address
        self.main = Line(connect, config.retry)
        self.waiting = [Line(connect, config.retry) for _ in range(config.replica_connections)]

    def lines(self) -> Sequence[Line]:
        return [self.main, *self.waiting]


class Cluster(Nodes):
    """The masters of a Cluster, by slot."""

    def __init__(self, login: Login, seeds: Sequence[Address], config: Config) -> None:
        self._login, self._seeds, self._config = login, seeds, config
        self._nodes: dict[Address, _Node] = {}
        self._replicas: list[Address] = []
        self._owners: list[_Node | None] = [None] * SLOTS
        self._stale, self._maps, self._mapped_at = True, 0, 0.0
        self._hint: Address | None = None
        self._suspect: Address | None = None
        self._lock = anyio.Lock()

    def ready(self, slot: int) -> Link | None:
        if slot >= 0:
            node = self._owners[slot]
            link = None if node is None else node.main.link
            return link if link is not None and link.open else None
        return next((link for node in self._nodes.values() if (link := node.main.link) and link.open), None)

    async def reach(self, slot: int, *, waits: bool = False) -> Link:
        if self._stale:
            await self._map()
        node = self._owners[slot] if slot >= 0 else random.choice([*self._nodes.values()])  # noqa: S311  # no secret
        if node is None:
            self._stale = True
            raise Unreachable(f"no server has the slot {slot}")
        try:
            return await (idlest(node.waiting) if waits else node.main).reach()
        except (Unreachable, LinkLost):
            self._stale, self._suspect = True, node.address
            raise

    async def reach_any(self, kind: Callable[..., Link]) -> Link:
        if self._stale:
            await self._map()
        address = random.choice([*self._nodes])  # noqa: S311  # no secret
        try:
            return await self._login.open(address, kind)
        except Unreachable:
            self._stale, self._suspect = True, address
            raise

    async def redirect(self, error: str, link: Link, *, waits: bool) -> Link | None:
        kind, slot, place = error.split()[:3]
        host, _, port = place.rpartition(":")
        node = self._node(Address(host.strip("[]") or link.address.host, int(port)))
        if kind == "MOVED":
            self._owners[int(slot)], self._hint, self._stale = node, node.address, True
            return None
        return await (idlest(node.waiting) if waits else node.main).reach()

    def distrust(self, link: Link) -> None:
        self._stale, self._suspect = True, link.address

    def masters(self) -> Sequence[tuple[Address | None, int]]:
        found: dict[Address | None, int] = {}
        for slot, node in enumerate(self._owners):
            found.setdefault(None if node is None else node.address, slot)
        return [*found.items()]

    def links(self) -> Sequence[Link]:
        lines = [line for node in self._nodes.values() for line in node.lines()]
        return [line.link for line in lines if line.link is not None and not line.link.lost]

    def close(self) -> None:
        for node in self._nodes.values():
            for line in node.lines():
                line.retire(now=True)

    def _node(self, address: Address) -> _Node:
        if address not in self._nodes:
            self._nodes[address] = _Node(address, self._login, self._config)
        return self._nodes[address]

    async def _map(self) -> None:
        """Ask who has which slots: once, for all who want to know."""
        before = self._maps
        async with self._lock:
            if self._maps > before or (self._maps and anyio.current_time() - self._mapped_at < FRESH):
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
                # A known server keeps its line; a seed may never be needed again.
                link = await self._node(address).main.reach()
                answer = await link.send(pack(("CLUSTER", "SLOTS")), 1, self._config.socket_timeout)
            except (Unreachable, Refused, LinkLost) as exc:
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
                for line in node.lines():
                    line.retire()
        self._nodes, self._owners, self._replicas = kept, owners, sorted(replicas)
        self._stale, self._hint, self._suspect = False, None, None
        self._maps += 1
        self._mapped_at = anyio.current_time()
