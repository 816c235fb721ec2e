"""Who did what, on Redis: one record for several hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_audit import AUDIT
from tta_kernel import Context, Figure, Health, Plugin, PositiveDuration, hookimpl
from tta_redis import REDIS

from .store import RedisAudit

__all__ = ["AuditRedis", "Config", "RedisAudit"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``keep``: how long a chain stays after its last record; ``limit``: how many records of one chain are kept."""

    keep: PositiveDuration = 365 * 86_400.0
    limit: Annotated[int, msgspec.Meta(ge=10, le=10_000_000)] = 100_000


class AuditRedis(Plugin[Config]):
    """The record of all processes that share a Redis."""

    requires = (REDIS,)
    provides = (AUDIT,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._audit = RedisAudit(ctx.get(REDIS), keep=self.config.keep, limit=self.config.limit)
        ctx.provide(AUDIT, self._audit)
        yield

    @hookimpl
    async def health(self) -> Health:
        return Health("failing" if self._audit.trouble else "ok", self._audit.trouble)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("audit.recorded", "entries that this process has recorded", "counter"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"audit.recorded": self._audit.recorded}
