"""Keys in memory: for tests, and the rules that every store keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from .model import ACTIVE_KEYS, Key, KeyRefused

MOST_KEYS = 1000
"""How many keys a store holds, ended ones among them."""


class MemoryKeys:
    """Keys that end with the process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._keys: dict[str, Key] = {}

    async def add(self, key: Key) -> None:
        self._keys = added(self._keys, key, self._clock())

    async def keys(self) -> Sequence[Key]:
        return in_order(self._keys.values())

    async def revoke(self, id: str) -> bool:
        fresh = revoked(self._keys, id, self._clock())
        self._keys = {**self._keys, **fresh}
        return bool(fresh)

    async def find(self, digest: str) -> Key | None:
        return next((key for key in self._keys.values() if key.digest == digest), None)

    async def used(self, uses: Mapping[str, float]) -> None:
        self._keys = {id: with_use(key, uses.get(id)) for id, key in self._keys.items()}


def added(keys: Mapping[str, Key], key: Key, now: float) -> dict[str, Key]:
    """Return the keys with a new one, or raise `KeyRefused`; where there are too many, ended ones make room."""
    active = [each for each in keys.values() if each.state(now) == "active"]
    if sum(each.name == key.name for each in active) >= ACTIVE_KEYS:
        raise KeyRefused(f"{key.name!r} has {ACTIVE_KEYS} active keys: revoke one of them first")
    if len(active) >= MOST_KEYS:
        raise KeyRefused(f"there are {MOST_KEYS} active keys: revoke some of them first")
    ended = [each for each in in_order(keys.values()) if each.state(now) != "active"]
    gone = {each.id for each in ended[: max(0, len(keys) + 1 - MOST_KEYS)]}
    return {**{id: each for id, each in keys.items() if id not in gone}, key.id: key}


def revoked(keys: Mapping[str, Key], id: str, now: float) -> dict[str, Key]:
    """Return what changes where a key is revoked: nothing, where there is no such key, or it was before."""
    key = keys.get(id)
    if key is None or key.revoked_at is not None:
        return {}
    return {id: replace(key, revoked_at=now)}


def with_use(key: Key, at: float | None) -> Key:
    """Return a key that was used then, unless it was later."""
    if at is None or (key.used_at is not None and key.used_at >= at):
        return key
    return replace(key, used_at=at)


def in_order(keys: Iterable[Key]) -> list[Key]:
    """Return keys by the time of their making."""
    return sorted(keys, key=lambda key: (key.created_at, key.id))
