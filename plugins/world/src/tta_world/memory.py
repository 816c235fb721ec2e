"""The reference implementation, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from tta_kernel import check_count, check_duration

from . import graph
from .cache import WorldCache
from .graph import Near, Node, NodeKind, Relation, RelationKind
from .model import World
from .patch import Patch
from .store import DEEPEST, Applied, Conflict, Head, Record, Snapshot, Stored
from .versions import Next, as_of, before_restoring, changed, check_names, check_owner, conflict, put
from .watching import Subscribers


class _Change(msgspec.Struct, frozen=True):
    """A `Record`, encoded, and what it is found by."""

    version: int
    turn: str
    record: bytes


class _Kept(msgspec.Struct, frozen=True):
    """A world as it is kept: encoded, so that nobody can change it behind its version."""

    head: Head
    world: bytes
    changes: tuple[_Change, ...]


class MemoryWorlds:
    """Keeps at most ``limit`` worlds, each ``ttl`` seconds after its last change; the oldest go first.

    ``max_size`` is a world's, in bytes; ``versions`` are how many of its changes are kept; ``cache`` is for how many
    seconds one that was read isn't read anew, and ``subscribers`` how many may wait for changes.
    """

    durable = False
    remote = False

    def __init__(
        self, clock: Callable[[], float], *, ttl: float, limit: int, max_size: int = 1_000_000, versions: int = 20,
        cache: float = 30.0, subscribers: int = 1000,
    ) -> None:  # fmt: skip
        check_duration("ttl", ttl, positive=True)
        check_count("limit", limit)
        check_count("max_size", max_size)
        check_count("versions", versions)
        self._clock, self._ttl, self._limit = clock, ttl, limit
        self._max_size, self._versions = max_size, versions
        self._worlds: OrderedDict[str, _Kept] = OrderedDict()
        self._cache = WorldCache(clock, life=cache, limit=100)
        self._subscribers = Subscribers(subscribers)
        self.applied = self.conflicts = 0

    def __len__(self) -> int:
        """Count what is kept, also what has ended and was not looked at since."""
        return len(self._worlds)

    @property
    def reads(self) -> tuple[int, int]:
        """How many worlds were read, and how many of them a while ago."""
        return self._cache.reads, self._cache.hits

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    async def head(self, session: str) -> Head | None:
        kept = self._kept(session)
        return kept.head if kept else None

    async def get(self, session: str, version: int | None = None) -> Stored | None:
        kept = self._kept(session)
        if kept is None:
            return None
        stored = self._cache.get(session)
        if stored is None:
            stored = Stored(kept.head, _world(kept))
            self._cache.put(stored)
        if version is None or version == stored.head.version:
            return stored
        return as_of(stored, _records(kept), version)

    async def history(self, session: str, after: int = 0, limit: int = 100) -> Sequence[Record]:
        kept = self._kept(session)
        return [each for each in _records(kept) if each.version > after][:limit] if kept else []

    async def snapshot(self, session: str) -> Snapshot | None:
        kept = self._kept(session)
        return Snapshot(kept.head, _world(kept), _records(kept)) if kept else None

    async def apply(
        self, session: str, expected: int, patch: Patch, turn: str, *, owner: str = ""
    ) -> Applied | Conflict:
        check_names(session, turn, owner)
        kept = self._kept(session)
        there = kept.head if kept else None
        check_owner(there, owner)
        if kept and (made := next((each.version for each in kept.changes if each.turn == turn), 0)):
            return Applied(made, again=True)
        if expected != (there.version if there else 0):
            return self._refused(conflict(there, expected, _records(kept) if kept else ()))
        head = Head(session, expected + 1, turn, owner, at=self._clock())
        return self._store(kept, changed(self._stored(kept), head, patch, max_size=self._max_size))

    async def restore(self, snapshot: Snapshot) -> Applied | Conflict:
        head = snapshot.head
        check_names(head.session, head.turn, head.owner)
        kept = self._kept(head.session)
        before = self._stored(kept)
        instead = before_restoring(before, snapshot)
        if instead is not None:
            return self._refused(instead) if isinstance(instead, Conflict) else instead
        return self._store(kept, put(before, snapshot, max_size=self._max_size))

    async def entities(self, session: str, kinds: Collection[NodeKind] = ()) -> Sequence[Node]:
        stored = await self.get(session)
        return graph.nodes(stored.world, kinds) if stored else []

    async def relations(
        self, session: str, kinds: Collection[RelationKind] = (), *, of: str = ""
    ) -> Sequence[Relation]:
        stored = await self.get(session)
        return graph.relations(stored.world, kinds, of=of) if stored else []

    async def neighbours(
        self, session: str, id: str, depth: int = 1, kinds: Collection[RelationKind] = ()
    ) -> Sequence[Near]:
        check_count("depth", depth, most=DEEPEST)
        stored = await self.get(session)
        return graph.neighbours(stored.world, id, depth, kinds) if stored else []

    async def path(self, session: str, start: str, end: str, kinds: Collection[RelationKind] = ()) -> Sequence[str]:
        stored = await self.get(session)
        return graph.path(stored.world, start, end, kinds, longest=DEEPEST) if stored else []

    def subscribe(self, session: str) -> AbstractAsyncContextManager[AsyncIterator[Head]]:
        return self._subscribers.subscribe(session, self.head)

    async def delete(self, session: str) -> bool:
        self._cache.drop(session)
        found = self._kept(session) is not None
        self._worlds.pop(session, None)
        self._subscribers.tell(session)
        return found

    async def forget(self, user: str) -> int:
        if not user:
            return 0
        found = [session for session in list(self._worlds) if (k := self._kept(session)) and k.head.owner == user]
        for session in found:
            await self.delete(session)
        return len(found)

    def _kept(self, session: str) -> _Kept | None:
        kept = self._worlds.get(session)
        if kept is not None and self._clock() - kept.head.at > self._ttl:
            del self._worlds[session]
            self._cache.drop(session)
            return None
        return kept

    def _stored(self, kept: _Kept | None) -> Stored | None:
        if kept is None:
            return None
        return self._cache.at(kept.head.session, kept.head.version, kept.head.digest) or Stored(kept.head, _world(kept))

    def _store(self, kept: _Kept | None, after: Next) -> Applied:
        # When it was put counts, and not when a snapshot was made.
        head = msgspec.structs.replace(after.head, at=self._clock())
        added = (_Change(each.version, each.turn, msgspec.msgpack.encode(each)) for each in after.records)
        changes = (*(kept.changes if kept else ()), *added)[-self._versions :]
        self._worlds[head.session] = _Kept(head, msgspec.msgpack.encode(after.world), changes)
        self._worlds.move_to_end(head.session)
        while len(self._worlds) > self._limit:
            gone, _ = self._worlds.popitem(last=False)
            self._cache.drop(gone)
        self._cache.put(Stored(head, after.world))
        self._subscribers.tell(head.session)
        self.applied += 1
        return Applied(head.version)

    def _refused(self, answer: Conflict) -> Conflict:
        self.conflicts += 1
        return answer


def _world(kept: _Kept) -> World:
    return msgspec.msgpack.decode(kept.world, type=World)


def _records(kept: _Kept) -> tuple[Record, ...]:
    return tuple(msgspec.msgpack.decode(each.record, type=Record) for each in kept.changes)
