"""Schedules on Redis: they outlive their process, and one of many fires them."""

from __future__ import annotations

from .plugin import Config, SchedulesRedis
from .store import RedisScheduleStore

__all__ = ["Config", "RedisScheduleStore", "SchedulesRedis"]
