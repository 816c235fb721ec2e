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
    """``keep``: how long a chain stays after its last record; ``limit``: how many records of one chain are kept.

    A record waits up to ``wait_timeout``, in seconds, until ``wait_replicas`` have it.
    """

    keep: PositiveDuration = 365 * 86_400.0
    limit: Annotated[int, msgspec.Meta(ge=10, le=10_000_000)] = 100_000
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    # Whoever did what is recorded waits for that, five seconds at most.
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=2)] = 1.0


class AuditRedis(Plugin[Config]):
    """The record of all processes that share a Redis."""

    requires = (REDIS,)
    provides = (AUDIT,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._audit = RedisAudit(
            ctx.get(REDIS), keep=self.config.keep, limit=self.config.limit, wait_replicas=self.config.wait_replicas,
            wait_timeout=self.config.wait_timeout,
        )  # fmt: skip
        ctx.provide(AUDIT, self._audit)
        yield

    @hookimpl
    async def health(self) -> Health:
        if self._audit.trouble:
            return Health("failing", self._audit.trouble)
        return Health("degraded" if self._audit.unconfirmed else "ok", self._audit.unconfirmed)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("audit.recorded", "entries that this process has recorded", "counter"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"audit.recorded": self._audit.recorded}
