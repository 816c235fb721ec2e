"""Where everything lies in Redis; README.md says what each key holds."""

from __future__ import annotations

from collections.abc import Sequence

from tta_redis import Redis

FORMAT = 1
"""What is written; a newer one is left alone."""
_REGISTRY = "registry"
"""On a Cluster all tools share a slot, so that one is added together with its place in the index."""


class RegistryKeys:
    """The keys of all tools, and those of one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.index = self._key("index")
        self.changes = self._key("changes")
        self.changed = self._key("changed")
        self.builds = self._key("builds")
        self.channel = self._key("told")
        self.lists = (self.index, self.changes, self.changed)

    def tool(self, id: str) -> str:
        """Return the key of a tool, by ``name:version``."""
        name, _, version = id.partition(":")
        return self._key(name, version)

    def status(self, id: str) -> str:
        """Return the key of a tool's status."""
        name, _, version = id.partition(":")
        return self._key("status", name, version)

    def both(self, ids: Sequence[str]) -> list[str]:
        """Return the two keys of each tool."""
        return [key for id in ids for key in (self.tool(id), self.status(id))]

    def broken(self, id: str) -> str:
        """Return where a tool goes that can't be read."""
        name, _, version = id.partition(":")
        return self._key("broken", name, version)

    def build(self, signature: str) -> str:
        """Return the key of what is known of a build."""
        return self._key("build", signature)

    def _key(self, *parts: str) -> str:
        return self._redis.key("tools", *parts, tag=_REGISTRY)


def ledger(redis: Redis, what: str) -> tuple[str, ...]:
    """Return the keys of entries that end: values, what is known of each, ends, owners, and the size of all."""
    return tuple(redis.key("tools", part, tag=what) for part in ("values", "about", "ends", "owners", "size"))


def approval_keys(redis: Redis) -> tuple[str, ...]:
    """Return the keys of all approvals, in the order in which scripts have them."""
    parts = ("values", "about", "ends", "owners", "bindings", "places")
    return tuple(redis.key("tools", part, tag="approvals") for part in parts)


class FigureKeys:
    """The keys of what is counted."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.all = redis.key("tools", "all", tag="figures")

    def of(self, id: str) -> str:
        """Return the key of a tool's figures."""
        return self._redis.key("tools", "of", id, tag="figures")
