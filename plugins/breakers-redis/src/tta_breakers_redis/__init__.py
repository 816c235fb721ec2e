"""Circuit breakers on Redis: all processes know the same, and it outlives them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec

from tta_breakers import BREAKER_STORE
from tta_kernel import Context, Plugin, PositiveDuration
from tta_redis import REDIS

from .store import RedisBreakerStore

__all__ = ["BreakersRedis", "Config", "RedisBreakerStore"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many breakers are kept, each for ``ttl`` seconds after it changed; what is foreign for ``quarantine``."""

    ttl: PositiveDuration = 86_400.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    quarantine: PositiveDuration = 7 * 86_400.0

    def __post_init__(self) -> None:
        if self.ttl < 1:
            raise ValueError("ttl is at least 1s")


class BreakersRedis(Plugin[Config]):
    """Many processes have the same breakers, which outlive them."""

    requires = (REDIS,)
    provides = (BREAKER_STORE,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config = self.config
        store = RedisBreakerStore(
            ctx.get(REDIS), ctx.log, ttl=config.ttl, limit=config.limit, quarantine=config.quarantine
        )  # fmt: skip
        ctx.start_soon(store.listen)
        ctx.provide(BREAKER_STORE, store)
        yield
