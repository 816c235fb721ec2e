"""Reviews, and a layer of rules, on Redis."""

from __future__ import annotations

from .plugin import Config, SafetyRedis
from .reviews import RedisReviews
from .rules import RedisRuleSource

__all__ = ["Config", "RedisReviews", "RedisRuleSource", "SafetyRedis"]
