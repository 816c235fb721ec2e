"""Keys on Redis, for callers of deployments on several hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tta_access import KEYS
from tta_kernel import Context, NoConfig, Plugin
from tta_redis import REDIS

from .store import RedisKeys

__all__ = ["AccessRedis", "RedisKeys"]


class AccessRedis(Plugin[NoConfig]):
    """Keys of all processes that share a Redis."""

    requires = (REDIS,)
    provides = (KEYS,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(KEYS, RedisKeys(ctx.get(REDIS)))
        yield
