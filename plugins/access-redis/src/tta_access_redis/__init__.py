"""Keys on Redis, for callers of deployments on several hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec

from tta_access import KEYS
from tta_kernel import Context, Health, Plugin, PositiveDuration, hookimpl
from tta_redis import REDIS

from .store import RedisKeys

__all__ = ["AccessRedis", "Config", "RedisKeys"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change waits up to ``wait_timeout``, in seconds, until ``wait_replicas`` have it."""

    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    # Whoever changes a key is told within a few seconds what came of it.
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=2)] = 1.0


class AccessRedis(Plugin[Config]):
    """Keys of all processes that share a Redis."""

    requires = (REDIS,)
    provides = (KEYS,)
    autoload = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._keys: RedisKeys | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._keys = RedisKeys(
            ctx.get(REDIS), wait_replicas=self.config.wait_replicas, wait_timeout=self.config.wait_timeout
        )
        ctx.provide(KEYS, self._keys)
        yield

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self._keys.unconfirmed if self._keys else ""
        return Health("degraded" if unconfirmed else "ok", unconfirmed)
