"""A world lies in the session and in the store of worlds: which of the two a turn goes on from, and how both agree."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from logging import Logger
from typing import Any, Literal

import anyio
import msgspec

from tta_kernel import Event

from .events import WorldConflicted, WorldRepaired
from .guard import guard
from .model import World
from .patch import diff, disjoint
from .store import Applied, Conflict, Head, Snapshot, WorldError, WorldRefused, WorldStore, digest, same

KEY = "world"
VERSION_KEY = "world_version"
"""Where the two stand in a session's context."""
_TRIES = 3
_REST = 10.0
"""Seconds for which a store that has failed isn't asked: else each turn would wait for it."""

Part = Literal["world.open", "world.keep"]
Away = Callable[[Part, str, str, str], None]
"""Hears which part of a turn's way failed, with a code, a session and its owner."""
Found = Literal["same", "newer", "older", "different", "foreign", "away"]
"""What the store has: the session's world, a ``newer`` or ``older`` one, a ``different`` one of that version, one of
another person, who had the session before; ``away``: nobody knows, or what the session has is none of our worlds."""


class Opened(msgspec.Struct, frozen=True):
    """What a turn goes on from: a world in builtins, and its version; None, and 0, where there is none yet.

    ``version`` is the session's own, if that counts, else the store's; ``was`` is the version of the other one.
    """

    plain: Any
    world: World | None
    version: int
    found: Found
    was: int = 0

    @property
    def next(self) -> int:
        """The version of the world that the turn makes of it."""
        return self.version + 1

    def after(self, plain: Any) -> Mapping[str, Any]:
        """Return what a session is to keep of a world that a turn has made."""
        changed = plain != self.plain or self.found == "different"
        return {KEY: plain, VERSION_KEY: self.next if changed else self.version}

    def kept(self) -> Mapping[str, Any]:
        """Return what a session is to keep where the turn changes nothing: not yet what came from the store.

        The texts in that are checked with those that a turn brings into the world.
        """
        if self.found == "newer" or not self.version:
            return {}
        return {KEY: self.plain, VERSION_KEY: self.next if self.found == "different" else self.version}


def kept_in(context: Mapping[str, Any]) -> tuple[Any, int]:
    """Return the world in a session, and its version; a session of an earlier release has none, and counts as 1."""
    plain, version = context.get(KEY), context.get(VERSION_KEY)
    if plain is None:
        return None, 0
    return plain, version if isinstance(version, int) and version > 0 else 1


def as_world(plain: object) -> World | None:
    """Return builtins as a world; None where they are none: a workflow of another kind may keep what it likes."""
    try:
        return msgspec.convert(plain, World)
    except (msgspec.ValidationError, RecursionError):
        return None


class WorldKeeper:
    """Opens and keeps the worlds of sessions, each call within ``limit`` seconds; without a store the session's count.

    No turn fails for it: a store that can't be asked is repaired when it can be. ``away`` hears of that, with a code.
    """

    def __init__(
        self, store: WorldStore | None, log: Logger, publish: Callable[[Event], None], away: Away, *,
        limit: float,
    ) -> None:  # fmt: skip
        self._store = guard(store, limit=limit) if store is not None else None
        self._log, self._publish, self._away = log, publish, away
        self._rests_until = -math.inf

    async def open(self, session: str, owner: str, context: Mapping[str, Any]) -> Opened:
        """Return what the session's next turn goes on from: of its world and the store's the one of a higher version.

        Nothing is changed before the turn is committed: see `keep`.
        """
        plain, version = kept_in(context)
        world = as_world(plain)
        own = functools.partial(Opened, plain, world, version)
        if self._store is None or self._rests() or (plain is not None and world is None):
            return own(found="away")
        try:
            head = await self._store.head(session)
            there = head.version if head else 0
            own = functools.partial(own, was=there)
            if head is not None and head.owner != owner:
                return own(found="foreign")
            if there < version or head is None:
                return own(found="older" if version else "same")
            if world is not None and there == version and head.digest == digest(world):
                return own(found="same")
            stored = await self._store.get(session, there)
            if stored is None:
                return own(found="away")  # It has changed just now: the turn's commit is told what has.
            if world is not None and there == version:
                return own(found="same" if same(stored.world, world) else "different")
        except (WorldError, WorldRefused) as exc:
            self._failed("world.open", session, owner, exc)
            return own(found="away")
        return Opened(msgspec.to_builtins(stored.world), stored.world, there, "newer", version)

    async def keep(
        self, session: str, owner: str, opened: Opened, context: Mapping[str, Any], turn: str
    ) -> bool:  # fmt: skip
        """Bring the store to what the session has after it was committed, and tell whose world was the older one.

        Return whether the store has a world now of which it may have had none.
        """
        plain, version = kept_in(context)
        world = as_world(plain)
        if opened.found == "newer" and version >= opened.version:
            self._publish(WorldRepaired(session, "session", opened.version, opened.was, owner))
        if self._store is None or world is None or opened.found == "away":
            return False
        try:
            match opened.found:
                case "same" | "newer" if version > opened.version:
                    await self._apply(session, owner, opened, world, turn)
                case "older" | "different" | "foreign":
                    await self._put(session, owner, opened, Snapshot(Head(session, version, turn, owner), world))
        except (WorldError, WorldRefused) as exc:
            self._failed("world.keep", session, owner, exc)
        return opened.found in ("older", "foreign") or not opened.version

    async def delete(self, session: str) -> None:
        """Delete a world whose session is gone."""
        if self._store is not None:
            try:
                await self._store.delete(session)
            except (WorldError, WorldRefused) as exc:
                self._failed("world.keep", session, "", exc)

    def _rests(self) -> bool:
        return anyio.current_time() < self._rests_until

    async def _apply(self, session: str, owner: str, opened: Opened, world: World, turn: str) -> None:
        assert self._store is not None, "without one nothing is kept"
        patch, expected = diff(opened.world, world), opened.version
        for _ in range(_TRIES):
            answer = await self._store.apply(session, expected, patch, turn, owner=owner)
            if isinstance(answer, Applied):
                return
            if not answer.since or not disjoint(patch, (record.patch for record in answer.since)):
                break
            expected = answer.version  # Both changes have their place.
        self._conflicted(session, opened.next, owner)

    async def _put(self, session: str, owner: str, opened: Opened, snapshot: Snapshot) -> None:
        assert self._store is not None, "without one nothing is kept"
        if opened.found == "foreign":
            self._log.warning("a world that another person left under the name of a session is deleted")
            await self._store.delete(session)
        if opened.found == "different":
            self._conflicted(session, opened.version, owner)
        answer = await self._store.restore(snapshot)
        if isinstance(answer, Conflict):
            self._conflicted(session, snapshot.head.version, owner)
        elif opened.found == "older":
            self._publish(WorldRepaired(session, "store", snapshot.head.version, opened.was, owner))

    def _conflicted(self, session: str, version: int, owner: str) -> None:
        self._log.warning(
            "a session and the store of worlds have two worlds of version %d; the session's counts", version
        )
        self._publish(WorldConflicted(session, version, owner))

    def _failed(self, part: Part, session: str, owner: str, exc: Exception) -> None:
        code = "refused" if isinstance(exc, WorldRefused) else "unavailable"
        if code == "unavailable":
            self._rests_until = anyio.current_time() + _REST
        self._log.error("%s: %s; the story goes on from the session's world", part, exc)
        self._away(part, code, session, owner)
