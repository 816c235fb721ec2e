"""Interventions in crises on Redis."""

from __future__ import annotations

from .plugin import Config, CrisisRedis
from .store import RedisCrisisStore

__all__ = ["Config", "CrisisRedis", "RedisCrisisStore"]
