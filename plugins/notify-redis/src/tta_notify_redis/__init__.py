"""The outbox of notifications on Redis: it outlives its processes, and they share it."""

from __future__ import annotations

from .outbox import RedisOutbox
from .plugin import Config, NotifyRedis

__all__ = ["Config", "NotifyRedis", "RedisOutbox"]
