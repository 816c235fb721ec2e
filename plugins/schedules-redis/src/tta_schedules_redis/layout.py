"""Where schedules lie in Redis; README.md says what each key holds."""

from __future__ import annotations

from tta_redis import Redis

FORMAT = 1
"""What is written; a newer one is left alone."""
_TAG = "schedules"
"""On a Cluster all keys share a slot, so that a schedule is stored with its place among those that are due, and under
the lease, in one step. There are thousands of schedules, and not millions."""


class Keys:
    """The keys of all schedules, and those of one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.lease = self._key("lease")
        self.names = self._key("names")
        self.wakes = self._key("wakes")
        self.channel = redis.key("schedules", "changed")

    def entry(self, name: str) -> str:
        """Return the key of a schedule."""
        return self._key("schedule", name)

    def history(self, name: str) -> str:
        """Return the key of a schedule's history."""
        return self._key("history", name)

    def owner(self, owner: str) -> str:
        """Return the key of the index of a person's schedules."""
        return self._key("owner", owner)

    def _key(self, *parts: str) -> str:
        return self._redis.key("schedules", *parts, tag=_TAG)
