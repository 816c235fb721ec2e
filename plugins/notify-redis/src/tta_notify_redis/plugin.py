"""The plugin: the outbox of notifications on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, Health, Plugin, PluginError, PositiveDuration, hookimpl
from tta_notify import OUTBOX
from tta_redis import REDIS

from .outbox import RedisOutbox


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many notifications there may be, and how long they are kept, in seconds; see `RedisOutbox`."""

    most: Annotated[int, msgspec.Meta(ge=1, le=10**7)] = 100_000
    retention: PositiveDuration = 90 * 86400.0
    quarantine: PositiveDuration = 7 * 86400.0
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0


FIGURES = (
    Figure("notify.stored", "changes of notifications that were stored, by this process", "counter"),
    Figure("notify.conflicts", "changes that another process's was before", "counter"),
    Figure("notify.notifications", "notifications in the outbox, by their status", label="status"),
)


class NotifyRedis(Plugin[Config]):
    """Notifications that outlive their process, and that many processes send."""

    requires = (REDIS,)
    provides = (OUTBOX,)
    autoload = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._outbox: RedisOutbox | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._outbox = RedisOutbox(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        async with self._outbox.listening():
            ctx.provide(OUTBOX, self._outbox)
            yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        if self._outbox is None:
            raise PluginError("notify-redis", "has no connection, and so can't forget anybody")
        return await self._outbox.forget(user)

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self._outbox.unconfirmed if self._outbox else ""
        return Health("degraded" if unconfirmed else "ok", unconfirmed)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        if self._outbox is None:
            return {}
        return {
            "notify.stored": self._outbox.stored,
            "notify.conflicts": self._outbox.conflicts,
            "notify.notifications": dict(await self._outbox.counts()),
        }
