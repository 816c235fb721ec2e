"""Where a session and a person's index lie in Redis, and where what is corrupt of them is moved."""

from __future__ import annotations

from typing import NamedTuple

from tta_redis import Redis

QUARANTINED = 4
"""How many corrupt values of one session, or one index, are kept."""


class Keys(NamedTuple):
    """The keys of one session or index; on a Cluster they share a slot."""

    value: str
    quarantine: tuple[str, ...]
    reasons: str

    def all(self) -> list[str]:
        """Return them as the scripts take them."""
        return [self.value, *self.quarantine, self.reasons]


def session_keys(redis: Redis, id: str) -> Keys:
    """Return the keys of a session."""
    return _keys(redis, "session", f"s.{id}")


def queue_keys(redis: Redis, id: str) -> list[str]:
    """Return the keys of a session's turns and of their texts, in the slot of the session."""
    return [redis.key("sessions", part, tag=f"s.{id}") for part in ("admissions", "texts")]


def index_keys(redis: Redis, user: str) -> Keys:
    """Return the keys of the index that says which sessions are a person's."""
    return _keys(redis, "user", f"u.{user}")


def all_keys(redis: Redis) -> Keys:
    """Return the keys of the index of all sessions, which only says how many there are."""
    return _keys(redis, "all", "all")


def _keys(redis: Redis, value: str, tag: str) -> Keys:
    def key(part: str) -> str:
        return redis.key("sessions", part, tag=tag)

    places = tuple(key(f"corrupt-{number}") for number in range(1, QUARANTINED + 1))
    return Keys(key(value), places, key("reasons"))
