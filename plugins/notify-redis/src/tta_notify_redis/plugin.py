"""The plugin: the outbox of notifications on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, PositiveDuration, hookimpl
from tta_notify import OUTBOX
from tta_redis import REDIS, StoreConfig, StorePlugin

from .outbox import RedisOutbox


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How many notifications there may be, and how long they are kept, in seconds; see `RedisOutbox`."""

    most: Annotated[int, msgspec.Meta(ge=1, le=10**7)] = 100_000
    retention: PositiveDuration = 90 * 86400.0
    quarantine: PositiveDuration = 7 * 86400.0


FIGURES = (
    Figure("notify.stored", "changes of notifications that were stored, by this process", "counter"),
    Figure("notify.conflicts", "changes that another process's was before", "counter"),
    Figure("notify.notifications", "notifications in the outbox, by their status", label="status"),
)


class NotifyRedis(StorePlugin[Config]):
    """Notifications that outlive their process, and that many processes send."""

    provides = (OUTBOX,)
    store: RedisOutbox

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.store = RedisOutbox(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        async with self.store.listening():
            ctx.provide(OUTBOX, self.store)
            yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {
            "notify.stored": self.store.stored,
            "notify.conflicts": self.store.conflicts,
            "notify.notifications": dict(await self.store.counts()),
        }
