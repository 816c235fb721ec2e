"""Worlds in Neo4j: each change is one transaction, under the write lock of its world."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import msgspec

from tta_kernel import check_count
from tta_world import (
    Applied,
    Conflict,
    Head,
    Near,
    Node,
    NodeKind,
    Patch,
    Record,
    Relation,
    RelationKind,
    Snapshot,
    Stored,
    WorldError,
)
from tta_world import graph as of_world
from tta_world.cache import WorldCache
from tta_world.store import DEEPEST
from tta_world.versions import Next, as_of, before_restoring, changed, check_names, check_owner, conflict, put
from tta_world.watching import Subscribers

from . import statements
from .config import Config
from .rows import EMPTY, Graph, changes, graph_of, head_of, key_of, properties_of, record_of, world_of
from .transactions import Database, Transaction

_ALL = 2**31
"""More changes than are ever kept."""


class _Instead(Exception):
    """Undoes a transaction in which nothing is to be changed, and carries what is answered instead."""

    def __init__(self, answer: Applied | Conflict) -> None:
        self.answer = answer


class Neo4jWorlds:
    """Worlds of all processes that share a database and a ``prefix``."""

    durable = True
    remote = True

    def __init__(self, database: Database, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._database, self._config, self._clock = database, config, clock
        self._cache = WorldCache(clock, life=config.cache, limit=config.cached)
        self._subscribers = Subscribers(config.subscribers)
        self.applied = self.conflicts = 0

    @property
    def reads(self) -> tuple[int, int]:
        """How many worlds were read, and how many of them a while ago."""
        return self._cache.reads, self._cache.hits

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    async def prepare(self) -> None:
        """Make sure of constraints and indexes, which takes a moment the first time."""
        for statement in statements.SCHEMA:

            async def work(tx: Transaction, statement: str = statement) -> None:
                await tx.run(statement)

            await self._database.write(work)

    async def ping(self) -> float:
        """Return how many seconds an answer takes."""

        async def work(tx: Transaction) -> None:
            await tx.run(statements.PING)

        began = anyio.current_time()
        await self._database.read(work)
        return anyio.current_time() - began

    async def head(self, session: str) -> Head | None:
        async def work(tx: Transaction) -> Head | None:
            node = await self._node(tx, session)
            return head_of(session, node) if node else None

        return await self._database.read(work)

    async def get(self, session: str, version: int | None = None) -> Stored | None:
        stored = self._cache.get(session)
        if stored is not None and version in (None, stored.head.version):
            return stored
        # With the change that made that version, which says by which turn.
        snapshot = await self._read(session, after=-1 if version is None else version - 1)
        if snapshot is None:
            return None
        stored = Stored(snapshot.head, snapshot.world)
        self._cache.put(stored)
        return stored if version is None else as_of(stored, snapshot.records, version)

    async def history(self, session: str, after: int = 0, limit: int = 100) -> Sequence[Record]:
        key = self._key(session)

        async def work(tx: Transaction) -> Sequence[Record]:
            if await self._node(tx, session) is None:
                return []
            return [record_of(row) for row in await tx.run(statements.CHANGES, key=key, after=after, limit=limit)]

        return await self._database.read(work)

    async def snapshot(self, session: str) -> Snapshot | None:
        return await self._read(session, after=0)

    async def apply(
        self, session: str, expected: int, patch: Patch, turn: str, *, owner: str = ""
    ) -> Applied | Conflict:
        check_names(session, turn, owner)
        key = self._key(session)

        async def work(tx: Transaction) -> Next:
            head, node = await self._lock(tx, session)
            check_owner(head, owner)
            if made := await tx.run(statements.MADE, key=key, turn=turn):
                raise _Instead(Applied(made[0]["version"], again=True))
            if expected != (head.version if head else 0):
                rows = await tx.run(statements.CHANGES, key=key, after=expected, limit=_ALL)
                raise _Instead(conflict(head, expected, [record_of(row) for row in rows]))
            before = await self._before(tx, head, node)
            new = Head(session, expected + 1, turn, owner, at=self._clock())
            after = changed(before, new, patch, max_size=self._config.max_size)
            await self._store(tx, key, before, after)
            return after

        return await self._change(session, work)

    async def restore(self, snapshot: Snapshot) -> Applied | Conflict:
        session = snapshot.head.session
        check_names(session, snapshot.head.turn, snapshot.head.owner)

        async def work(tx: Transaction) -> Next:
            head, node = await self._lock(tx, session)
            check_owner(head, snapshot.head.owner)
            before = await self._before(tx, head, node)
            if (instead := before_restoring(before, snapshot)) is not None:
                raise _Instead(instead)
            after = put(before, snapshot, max_size=self._config.max_size)
            # When it was put counts, and not when the snapshot was made.
            after = msgspec.structs.replace(after, head=msgspec.structs.replace(after.head, at=self._clock()))
            await self._store(tx, self._key(session), before, after)
            return after

        return await self._change(session, work)

    async def entities(self, session: str, kinds: Collection[NodeKind] = ()) -> Sequence[Node]:
        stored = await self.get(session)
        return of_world.nodes(stored.world, kinds) if stored else []

    async def relations(
        self, session: str, kinds: Collection[RelationKind] = (), *, of: str = ""
    ) -> Sequence[Relation]:
        stored = await self.get(session)
        return of_world.relations(stored.world, kinds, of=of) if stored else []

    async def neighbours(
        self, session: str, id: str, depth: int = 1, kinds: Collection[RelationKind] = ()
    ) -> Sequence[Near]:
        check_count("depth", depth, most=DEEPEST)
        rows = await self._ask(session, statements.neighbours(depth, kinds), id=id)
        found = [Near(Node(row["id"], row["kind"], row["name"]), row["distance"]) for row in rows]
        return sorted(found, key=lambda near: (near.distance, near.node.id))

    async def path(self, session: str, start: str, end: str, kinds: Collection[RelationKind] = ()) -> Sequence[str]:
        if start == end:
            return [start] if any(node.id == start for node in await self.entities(session)) else []
        rows = await self._ask(session, statements.path(DEEPEST, kinds), start=start, end=end)
        return rows[0]["way"] if rows else []

    def subscribe(self, session: str) -> AbstractAsyncContextManager[AsyncIterator[Head]]:
        return self._subscribers.subscribe(session, self.head, poll=self._config.poll)

    async def delete(self, session: str) -> bool:
        return await self._delete(session, lambda node: True)

    async def forget(self, user: str) -> int:
        if not user:
            return 0
        owned = await self._found(statements.OWNED, owner=user)
        now = self._clock()
        count = 0
        for row in owned:
            # Whose it is, is looked at under the lock once more.
            count += await self._delete(row["session"], lambda node: node.get("owner") == user, now=now)
        return count

    async def sweep(self) -> int:
        """Delete worlds that have ended, a thousand at the most, and return how many."""
        now = self._clock()
        ended = await self._found(statements.ENDED, now=now, limit=1000)
        for row in ended:
            await self._delete(row["session"], lambda node: node["expires"] <= now)
        return len(ended)

    def _key(self, session: str) -> str:
        return key_of(self._config.prefix, session)

    async def _found(self, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        async def work(tx: Transaction) -> Sequence[Mapping[str, Any]]:
            return await tx.run(statement, space=self._config.prefix, **parameters)

        return await self._database.read(work)

    async def _ask(self, session: str, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        async def work(tx: Transaction) -> Sequence[Mapping[str, Any]]:
            return await tx.run(statement, key=self._key(session), now=self._clock(), **parameters)

        return await self._database.read(work)

    async def _node(self, tx: Transaction, session: str) -> Mapping[str, Any] | None:
        rows = await tx.run(statements.HEAD, key=self._key(session), now=self._clock())
        return dict(rows[0]["w"]) if rows else None

    async def _read(self, session: str, *, after: int) -> Snapshot | None:
        """Read a world, and its changes after a version; none of them where that is below 0."""
        key = self._key(session)

        async def work(tx: Transaction) -> Snapshot | None:
            node = await self._node(tx, session)
            if node is None:
                return None
            world = await self._world(tx, key, node)
            rows = await tx.run(statements.CHANGES, key=key, after=after, limit=_ALL) if after >= 0 else []
            return Snapshot(head_of(session, node), world, tuple(record_of(row) for row in rows))

        return await self._database.read(work)

    async def _world(self, tx: Transaction, key: str, node: Mapping[str, Any]) -> Any:
        try:
            return world_of(node, await tx.run(statements.ENTITIES, key=key))
        except (msgspec.DecodeError, KeyError) as exc:
            raise WorldError(
                f"Neo4j: what is stored is no world ({type(exc).__name__}); import an export of it"
            ) from None

    async def _lock(self, tx: Transaction, session: str) -> tuple[Head | None, Mapping[str, Any]]:
        """Take the lock of a world, be there one or not; what has ended makes room for a new one."""
        key = self._key(session)
        rows = await tx.run(statements.LOCK, key=key, space=self._config.prefix, session=session)
        node = dict(rows[0]["w"])
        if not node["version"]:
            return None, node
        if node["expires"] <= self._clock():
            await tx.run(statements.WIPE_ENTITIES, key=key)
            await tx.run(statements.WIPE_CHANGES, key=key)
            return None, node
        return head_of(session, node), node

    async def _before(self, tx: Transaction, head: Head | None, node: Mapping[str, Any]) -> Stored | None:
        """Return the world that is there, from memory where it is known to be that one."""
        if head is None:
            return None
        known = self._cache.at(head.session, head.version, head.digest)
        return known or Stored(head, await self._world(tx, self._key(head.session), node))

    async def _store(self, tx: Transaction, key: str, before: Stored | None, after: Next) -> None:
        old = graph_of(key, before.world) if before else EMPTY
        await self._store_graph(tx, old, graph_of(key, after.world))
        properties = properties_of(after.head, after.world, self._config.ttl)
        await tx.run_batches(statements.ADD_CHANGES, changes(key, after.records))
        await tx.run(statements.DROP_CHANGES, key=key, keep=self._config.versions)
        await tx.run(statements.STORE, key=key, properties=properties)

    async def _store_graph(self, tx: Transaction, old: Graph, new: Graph) -> None:
        """Change what is different; most turns touch a few nodes of a hundred."""
        for kind, gone in statements.UNRELATE.items():
            rows = _rows(kind, old.links - new.links)
            await tx.run_batches(gone, rows)
        await tx.run_batches(statements.DROP_ENTITIES, [key for key in old.entities if key not in new.entities], "keys")
        for each, added in statements.ADD_ENTITIES.items():
            entities = [
                {"key": key, "properties": entity.properties}
                for key, entity in new.entities.items()
                if entity.kind == each and old.entities.get(key) != entity
            ]
            await tx.run_batches(added, entities)
        for kind, related in statements.RELATE.items():
            await tx.run_batches(related, _rows(kind, new.links - old.links))

    async def _change(self, session: str, work: Callable[[Transaction], Any]) -> Applied | Conflict:
        try:
            after: Next = await self._database.write(work)
        except _Instead as instead:
            if isinstance(instead.answer, Conflict):
                self.conflicts += 1
                self._cache.drop(session)
            return instead.answer
        except BaseException:
            # Whether it was done isn't known.
            self._cache.drop(session)
            raise
        self._cache.put(Stored(after.head, after.world))
        self._subscribers.tell(session)
        self.applied += 1
        return Applied(after.head.version)

    async def _delete(
        self, session: str, is_meant: Callable[[Mapping[str, Any]], bool], *, now: float | None = None
    ) -> bool:
        """Delete a world, if it is still one that is meant; return whether it hadn't ended before."""
        key = self._key(session)
        at = self._clock() if now is None else now

        async def work(tx: Transaction) -> bool:
            rows = await tx.run(statements.LOCK_IF_THERE, key=key)
            if not rows or not is_meant(node := dict(rows[0]["w"])):
                raise _Instead(Conflict(0))
            await tx.run(statements.WIPE_ENTITIES, key=key)
            await tx.run(statements.WIPE_CHANGES, key=key)
            await tx.run(statements.WIPE_WORLD, key=key)
            return bool(node["expires"] > at)

        try:
            found = await self._database.write(work)
        except _Instead:
            found = False
        finally:
            self._cache.drop(session)
        self._subscribers.tell(session)
        return found


def _rows(kind: str, links: Collection[Any]) -> list[dict[str, str]]:
    return [{"source": link.source, "target": link.target} for link in links if link.kind == kind]
