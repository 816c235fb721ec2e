"""The plugin: schedules on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, PositiveDuration, hookimpl
from tta_redis import REDIS, StoreConfig, StorePlugin
from tta_schedules import HISTORY, SCHEDULE_STORE

from .store import RedisScheduleStore


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How many schedules there may be, and how long things are kept, in seconds; see `RedisScheduleStore`."""

    most: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 10_000
    history: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = HISTORY
    history_ttl: PositiveDuration = 90 * 86400.0
    ended: PositiveDuration = 30 * 86400.0
    quarantine: PositiveDuration = 7 * 86400.0


FIGURES = (
    Figure("schedules.stored", "changes of schedules that were stored, by this process", "counter"),
    Figure("schedules.conflicts", "changes that another process's was before", "counter"),
)


class SchedulesRedis(StorePlugin[Config]):
    """Schedules that outlive their process, and of which one of many processes fires each due time."""

    provides = (SCHEDULE_STORE,)
    store: RedisScheduleStore

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.store = RedisScheduleStore(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        async with self.store.listening():
            ctx.provide(SCHEDULE_STORE, self.store)
            yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"schedules.stored": self.store.puts, "schedules.conflicts": self.store.conflicts}
