"""Tools, what their calls came to, and approvals, on Redis."""

from __future__ import annotations

from .plugin import Config, ToolsRedis
from .store import RedisToolStore

__all__ = ["Config", "RedisToolStore", "ToolsRedis"]
