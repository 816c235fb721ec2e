"""One connection to Redis for all backends: standalone, Sentinel or Cluster."""

from __future__ import annotations

from .client import REDIS, Redis, connect
from .config import ClusterConfig, Config, RetryConfig, SentinelConfig, Tls
from .errors import RedisDown, StoreErrors
from .plugin import RedisPlugin, unwritable
from .replication import Replication
from .scripts import Script
from .signals import Signal
from .stores import StoreConfig, StorePlugin

__all__ = [
    "REDIS", "ClusterConfig", "Config", "Redis", "RedisDown", "RedisPlugin", "Replication", "RetryConfig", "Script",
    "SentinelConfig", "Signal", "StoreConfig", "StoreErrors", "StorePlugin", "Tls", "connect", "unwritable",
]  # fmt: skip
