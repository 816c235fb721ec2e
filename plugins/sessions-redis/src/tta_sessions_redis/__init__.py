"""Sessions on Redis: they outlive a process, and end by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, PositiveDuration, Size, hookimpl
from tta_redis import REDIS, StoreConfig, StorePlugin
from tta_sessions import FIGURES, SESSIONS

from .store import RedisSessions

__all__ = ["Config", "RedisSessions", "SessionsRedis"]


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How long, in seconds, a session lives after its last turn, and how large it may be, in bytes.

    ``admission_ttl``: how long, in seconds, the text of a turn that wasn't answered is kept. ``quarantine``: how long
    what is corrupt is kept.
    """

    ttl: PositiveDuration = 30 * 86400.0
    admission_ttl: PositiveDuration = 3600.0
    max_size: Annotated[Size, msgspec.Meta(ge=1, le=256_000_000)] = 1_000_000
    quarantine: PositiveDuration = 7 * 86400.0


class SessionsRedis(StorePlugin[Config]):
    """Sessions of all processes that share a Redis."""

    provides = (SESSIONS,)
    store: RedisSessions

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.store = RedisSessions(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        ctx.provide(SESSIONS, self.store)
        yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"sessions.commits": self.store.commits, "sessions.conflicts": self.store.conflicts}
