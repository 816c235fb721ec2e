"""Private servers for tests: real ones, alone or together, which can be killed, paused and started again."""

from __future__ import annotations

from .programs import program
from .server import PATIENT, RedisServer, free_port, redis, redis_server, shared_redis, wait_until
from .topologies import OnACluster, RedisCluster, Sentinels, cluster, sentinel

__all__ = [
    "PATIENT", "OnACluster", "RedisCluster", "RedisServer", "Sentinels", "cluster", "free_port", "program", "redis",
    "redis_server", "sentinel", "shared_redis", "wait_until",
]  # fmt: skip
