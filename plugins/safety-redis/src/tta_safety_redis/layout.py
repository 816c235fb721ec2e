"""Where reviews and rules lie in Redis; README.md says what each key holds."""

from __future__ import annotations

import hashlib

from tta_redis import Redis

FORMAT = 1
"""What is written; a newer one is left alone."""
_REVIEWS = "reviews"
"""On a Cluster all of them share a slot, so that one is added together with its places in all lists."""
_RULES = "rules"


class ReviewKeys:
    """The keys of all reviews, and those of one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.all = self._key("all")
        self.ends = self._key("ends")
        self.about = self._key("about")
        self.size = self._key("size")

    def review(self, id: str) -> str:
        """Return the key of a review."""
        return self._key("review", id)

    def owner(self, owner: str) -> str:
        """Return the key of the list of a person's reviews."""
        return self._key("owner", owner)

    def forgotten(self, owner: str) -> str:
        """Return the key of the sign that a person was forgotten; their name isn't in it."""
        return self._key("forgotten", hashlib.sha256(owner.encode("utf-8", "replace")).hexdigest())

    def _key(self, *parts: str) -> str:
        return self._redis.key("safety", *parts, tag=_REVIEWS)


class RuleKeys:
    """The keys of the layer of rules, and the channel on which changes are told."""

    def __init__(self, redis: Redis) -> None:
        self.layer = redis.key("safety", "layer", tag=_RULES)
        self.writes = redis.key("safety", "writes", tag=_RULES)
        self.channel = redis.key("safety", "changed", tag=_RULES)
