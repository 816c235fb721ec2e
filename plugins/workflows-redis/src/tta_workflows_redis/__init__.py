"""The journal of workflows on Redis: runs outlive their process."""

from __future__ import annotations

from .journal import RedisJournal
from .plugin import Config, WorkflowsRedis

__all__ = ["Config", "RedisJournal", "WorkflowsRedis"]
