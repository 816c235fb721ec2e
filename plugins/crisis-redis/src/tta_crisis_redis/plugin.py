"""The plugin: interventions on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_crisis import CRISIS_STORE
from tta_kernel import Context, Figure, Health, Plugin, PluginError, PositiveDuration, hookimpl
from tta_redis import REDIS

from .store import RedisCrisisStore


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many interventions there may be, and how long things are kept, in seconds; see `RedisCrisisStore`."""

    most: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 100_000
    retention: PositiveDuration = 90 * 86400.0
    packets: PositiveDuration = 30 * 86400.0
    quarantine: PositiveDuration = 30 * 86400.0
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0


FIGURES = (
    Figure("crisis.stored", "changes of interventions that were stored, by this process", "counter"),
    Figure("crisis.conflicts", "changes that another process's was before", "counter"),
)


class CrisisRedis(Plugin[Config]):
    """Interventions that outlive their process, and that any process sees to."""

    requires = (REDIS,)
    provides = (CRISIS_STORE,)
    autoload = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._store: RedisCrisisStore | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._store = RedisCrisisStore(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        ctx.provide(CRISIS_STORE, self._store)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        if self._store is None:
            raise PluginError("crisis-redis", "has no connection, and so can't forget anybody")
        return await self._store.forget(user)

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self._store.unconfirmed if self._store else ""
        return Health("degraded" if unconfirmed else "ok", unconfirmed)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        if self._store is None:
            return {}
        return {"crisis.stored": self._store.puts, "crisis.conflicts": self._store.conflicts}
