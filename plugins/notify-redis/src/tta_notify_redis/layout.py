"""Where notifications lie in Redis; README.md says what each key holds."""

from __future__ import annotations

from collections.abc import Sequence

from tta_notify import Entry, Status
from tta_redis import Redis

FORMAT = 1
"""What is written; a newer one is left alone."""
STATUSES: Sequence[Status] = ("pending", "accepted", "acknowledged", "dead")
_TAG = "notify"
"""On a Cluster all keys share a slot, so that a notification is stored with its place in each list in one step. There
are thousands of notifications, and not millions."""


class Keys:
    """The keys of all notifications, and those of one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.all = self._key("all")
        self.statuses = [self._key("status", status) for status in STATUSES]
        self.wakes = self._key("wakes")
        self.leases = self._key("leases")
        self.tokens = self._key("tokens")
        self.ends = self._key("ends")
        self.channel = redis.key("notify", "changed")

    def entry(self, key: str) -> str:
        """Return the key of a notification."""
        return self._key("entry", key)

    def owner(self, owner: str) -> str:
        """Return the key of the index of a person's notifications."""
        return self._key("owner", owner)

    def group(self, group: str) -> str:
        """Return the key under which the first of a group stands."""
        return self._key("group", group)

    def status(self, status: Status) -> str:
        """Return the key of the list of what has this status."""
        return self.statuses[STATUSES.index(status)]

    def _key(self, *parts: str) -> str:
        return self._redis.key("notify", *parts, tag=_TAG)


def place_of(entry: Entry) -> str:
    """Return how an entry is listed: it sorts as entries were made."""
    return f"{int(entry.created_at * 1000):015d}:{entry.key}"
