"""Where interventions lie in Redis; README.md says what each key holds."""

from __future__ import annotations

from tta_redis import Redis

FORMAT = 1
"""What is written; a newer one is left alone."""
_TAG = "crisis"
"""On a Cluster all keys share a slot, so that an intervention is stored with its places in all lists in one step.
There are thousands of them, and not millions."""


class Keys:
    """The keys of all interventions, and those of one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.all = self._key("all")
        self.ends = self._key("ends")
        self.feedback = self._key("feedback")
        self.traces = self._key("traces")

    def intervention(self, id: str) -> str:
        """Return the key of an intervention."""
        return self._key("intervention", id)

    def packet(self, id: str) -> str:
        """Return the key of an intervention's packet."""
        return self._key("packet", id)

    def status(self, status: str) -> str:
        """Return the key of the list of interventions of a status."""
        return self._key("status", status)

    def session(self, session: str) -> str:
        """Return the key of the list of a session's interventions."""
        return self._key("session", session)

    def owner(self, owner: str) -> str:
        """Return the key of the index of a person's interventions."""
        return self._key("owner", owner)

    def quarantine(self, id: str) -> str:
        """Return the key to which an intervention is moved that can't be read."""
        return self._key("quarantine", id)

    def _key(self, *parts: str) -> str:
        return self._redis.key("crisis", *parts, tag=_TAG)
