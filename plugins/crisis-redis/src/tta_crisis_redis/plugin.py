"""The plugin: interventions on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_crisis import CRISIS_STORE
from tta_kernel import Context, Figure, PositiveDuration, hookimpl
from tta_redis import REDIS, StoreConfig, StorePlugin

from .store import RedisCrisisStore


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How many interventions there may be, and how long things are kept, in seconds; see `RedisCrisisStore`."""

    most: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 100_000
    retention: PositiveDuration = 90 * 86400.0
    packets: PositiveDuration = 30 * 86400.0
    quarantine: PositiveDuration = 30 * 86400.0


FIGURES = (
    Figure("crisis.stored", "changes of interventions that were stored, by this process", "counter"),
    Figure("crisis.conflicts", "changes that another process's was before", "counter"),
)


class CrisisRedis(StorePlugin[Config]):
    """Interventions that outlive their process, and that any process sees to."""

    provides = (CRISIS_STORE,)
    store: RedisCrisisStore

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.store = RedisCrisisStore(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        ctx.provide(CRISIS_STORE, self.store)
        yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"crisis.stored": self.store.puts, "crisis.conflicts": self.store.conflicts}
