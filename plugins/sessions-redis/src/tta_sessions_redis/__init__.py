"""Sessions on Redis: they outlive a process, and end by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, PositiveDuration, Size, hookimpl
from tta_redis import REDIS, RedisDown, StoreConfig, StorePlugin
from tta_sessions import FIGURES, SESSIONS, SessionsError
from tta_sessions.hookspecs import forget

from .beside import Beside
from .store import RedisSessions

__all__ = ["Config", "RedisSessions", "SessionsRedis"]


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How long, in seconds, a session lives after its last turn, and how large it may be, in bytes.

    ``limit``: how many sessions there may be, and ``per_user`` how many of one person.
    ``admission_ttl``: how long, in seconds, the text of a turn that wasn't answered is kept. ``quarantine``: how long
    what is corrupt is kept.
    """

    ttl: PositiveDuration = 30 * 86400.0
    admission_ttl: PositiveDuration = 3600.0
    max_size: Annotated[Size, msgspec.Meta(ge=1, le=256_000_000)] = 1_000_000
    limit: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 1_000_000
    per_user: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1000
    quarantine: PositiveDuration = 7 * 86400.0


async def _forget(ctx: Context, user: str) -> Sequence[str]:
    """Forget a person in all that this process has, and return the names of the plugins that couldn't."""
    answers: Mapping[str, object] = await ctx.ask(forget, user)
    return [name for name, answer in answers.items() if not isinstance(answer, int)]


class SessionsRedis(StorePlugin[Config]):
    """Sessions of all processes that share a Redis."""

    provides = (SESSIONS,)
    store: RedisSessions

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        redis = ctx.get(REDIS)
        self.store = RedisSessions(redis, **msgspec.structs.asdict(self.config))
        self._beside = Beside(redis, ctx.log, forget=partial(_forget, ctx))
        async with self._beside.listening():
            ctx.start_soon(self._beside.run)
            ctx.provide(SESSIONS, self.store)
            yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        erased = await self.store.forget(user)
        try:
            others = await self._beside.ask(user) if user else ()
        except RedisDown as exc:
            others = (f"processes that run beside may not have heard of it: {exc}",)
        if others:
            raise SessionsError(
                f"{erased} things are forgotten in the store, and {'; '.join(others)}: forget once more in half a "
                "minute, or restart what holds them in memory"
            )
        return erased

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"sessions.commits": self.store.commits, "sessions.conflicts": self.store.conflicts}
