"""Sessions on Redis: they outlive a process, and end by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, Health, Plugin, PositiveDuration, Size, hookimpl
from tta_redis import REDIS
from tta_sessions import FIGURES, SESSIONS

from .store import RedisSessions

__all__ = ["Config", "RedisSessions", "SessionsRedis"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long, in seconds, a session lives after its last turn, and how large it may be, in bytes.

    ``admission_ttl``: how long, in seconds, the text of a turn that wasn't answered is kept. ``quarantine``: how long
    what is corrupt is kept. A commit waits up to ``wait_timeout``, in seconds, until ``wait_replicas`` have it.
    """

    ttl: PositiveDuration = 30 * 86400.0
    admission_ttl: PositiveDuration = 3600.0
    max_size: Annotated[Size, msgspec.Meta(ge=1, le=256_000_000)] = 1_000_000
    quarantine: PositiveDuration = 7 * 86400.0
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0


class SessionsRedis(Plugin[Config]):
    """Sessions of all processes that share a Redis."""

    requires = (REDIS,)
    provides = (SESSIONS,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._sessions = RedisSessions(
            ctx.get(REDIS), ttl=self.config.ttl, max_size=self.config.max_size, quarantine=self.config.quarantine,
            wait_replicas=self.config.wait_replicas, wait_timeout=self.config.wait_timeout,
            admission_ttl=self.config.admission_ttl,
        )  # fmt: skip
        ctx.provide(SESSIONS, self._sessions)
        yield

    @hookimpl
    async def forget(self, user: str) -> int:
        return await self._sessions.forget(user)

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self._sessions.unconfirmed
        return Health("degraded" if unconfirmed else "ok", unconfirmed)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"sessions.commits": self._sessions.commits, "sessions.conflicts": self._sessions.conflicts}
