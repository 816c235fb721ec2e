"""Where worlds live: by session and version, each change told by a patch and made once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from tta_kernel import Figure, Service

from .graph import Near, Node, NodeKind, Relation, RelationKind
from .model import World
from .patch import Patch, diff

LONGEST_NAME = 300
"""Characters that a turn's name may have; a session's name has no such limit."""
DEEPEST = 8
"""How many relations away something is still a neighbour, and a path's end."""


class Head(msgspec.Struct, frozen=True):
    """A world without the world: which ``version`` of it is the latest, and which ``turn`` made that.

    ``at`` is in seconds since the epoch. Version 0, of nobody, is that of a world that is gone.
    """

    session: str
    version: int
    turn: str = ""
    owner: str = ""
    digest: str = ""
    at: float = 0.0


class Stored(msgspec.Struct, frozen=True):
    """A world as it was after a version; ``cached``: it was read a while ago, by this process."""

    head: Head
    world: World
    cached: bool = False


class Record(msgspec.Struct, frozen=True):
    """A change that a store keeps: from version ``base`` to ``version``, and how to ``undo`` it."""

    version: int
    base: int
    turn: str
    patch: Patch
    undo: Patch
    digest: str
    at: float


class Snapshot(msgspec.Struct, frozen=True):
    """All that a store keeps of a world: as it is, and the changes that led there, the oldest first."""

    head: Head
    world: World
    records: tuple[Record, ...] = ()


class Applied(msgspec.Struct, frozen=True):
    """The version that a change has made; ``again``: it was there already, by the same turn."""

    version: int
    again: bool = False


class Conflict(msgspec.Struct, frozen=True):
    """Somebody else has changed the world: it has another ``version`` than was expected, and nothing was done.

    ``since`` is what changed after the version that was expected, the oldest first; empty where the store keeps no
    more of that, or never had it.
    """

    version: int
    since: tuple[Record, ...] = ()


class WorldError(Exception):
    """The store can't be reached, or is late: a change may have been made or not. Try again: it is made once."""


class WorldRefused(Exception):
    """The store doesn't take it: it is no world, too large, or somebody else's; nothing was changed."""


class WorldStore(Protocol):
    """Keeps a world for each session, with its last changes, for a bounded time; each has an owner, or "" and so none.

    Any call may raise `WorldError`. Questions are answered from what was read up to half a minute ago, unless this
    process has changed the world since; `head`, `history` and `snapshot` ask the store itself.
    """

    @property
    def durable(self) -> bool:
        """Whether worlds outlive this process."""

    @property
    def remote(self) -> bool:
        """Whether asking for one goes over a network."""

    async def head(self, session: str) -> Head | None:
        """Return the latest version of a world, or None where there is none (any more)."""

    async def get(self, session: str, version: int | None = None) -> Stored | None:
        """Return a world as it is, or was after ``version``; None where the store doesn't keep that (any more)."""

    async def history(self, session: str, after: int = 0, limit: int = 100) -> Sequence[Record]:
        """Return changes later than a version, the oldest first."""

    async def snapshot(self, session: str) -> Snapshot | None:
        """Return all that is kept of a world."""

    async def apply(
        self, session: str, expected: int, patch: Patch, turn: str, *, owner: str = ""
    ) -> Applied | Conflict:
        """Change a world whose version is ``expected``, which is 0 for a new one; the next version is one higher.

        The same ``turn`` again changes nothing, as long as its change is kept. Raises `WorldRefused`; an ``owner``
        must be the world's.
        """

    async def restore(self, snapshot: Snapshot) -> Applied | Conflict:
        """Put a world where there is none, or an older one; of two of one version the one that is there stays.

        Then the answer is a `Conflict`, unless both are the same. Raises `WorldRefused`.
        """

    async def entities(self, session: str, kinds: Collection[NodeKind] = ()) -> Sequence[Node]:
        """Return what is in a world, all of it or of some kinds."""

    async def relations(
        self, session: str, kinds: Collection[RelationKind] = (), *, of: str = ""
    ) -> Sequence[Relation]:
        """Return how things stand to each other, all of that or of some kinds, of everybody or one (``of``)."""

    async def neighbours(
        self, session: str, id: str, depth: int = 1, kinds: Collection[RelationKind] = ()
    ) -> Sequence[Near]:
        """Return what is at most ``depth`` relations away, the nearest first; a relation is gone both ways."""

    async def path(self, session: str, start: str, end: str, kinds: Collection[RelationKind] = ()) -> Sequence[str]:
        """Return a shortest way, with both its ends; empty where there is none of at most `DEEPEST` relations.

        Relations are gone both ways, but for an ``exit``, which leads one way.
        """

    def subscribe(self, session: str) -> AbstractAsyncContextManager[AsyncIterator[Head]]:
        """Iterate over the versions of a world that come after now; whoever is slow gets the latest, and not each.

        The last one of a world that was deleted has version 0. Raises `WorldRefused` where too many have subscribed.
        """

    async def delete(self, session: str) -> bool:
        """Delete one world; False if there was none."""

    async def forget(self, user: str) -> int:
        """Delete all worlds of a person, and return how many there were; nobody ("") has none."""


def digest(world: World) -> str:
    """Return what is the same for no two different worlds.

    Equal ones may differ in it: a default is left out of the encoding only where it is the very same object.
    """
    return hashlib.blake2b(msgspec.msgpack.encode(world), digest_size=16).hexdigest()


def same(one: World, other: World) -> bool:
    """Whether two worlds are equal, down to the order in which things are listed."""
    return not diff(one, other)


FIGURES = (
    Figure("world.applied", "changes of worlds that were made, by this process", "counter"),
    Figure("world.conflicts", "changes refused since somebody else had made one, by this process", "counter"),
    Figure("world.reads", "worlds that were read, by this process", "counter"),
    Figure("world.reads_cached", "of these, the ones that were read a while ago", "counter"),
    Figure("world.subscribers", "who waits for changes of a world, in this process"),
)
"""What each implementation counts."""

WORLD = Service[WorldStore]("world")
"""The worlds of all sessions."""
