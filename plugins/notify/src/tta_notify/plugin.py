"""The plugins: the vocabulary and NOTIFY, and an outbox in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tta_kernel import Context, Event, Hooks, Plugin, PositiveDuration, Problem, hookimpl

from . import hookspecs
from .config import Config, problems
from .directory import channels_of
from .memory import MemoryOutbox
from .model import NotificationAccepted, NotificationAcknowledged, NotificationDead
from .notifier import NOTIFY, Notifier
from .outbox import OUTBOX


class NotifyPlugin(Plugin[Config]):
    """Takes what humans are to know, whether or not the outbox can be reached."""

    requires = (OUTBOX,)
    provides = (NOTIFY,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._notifier = Notifier(ctx.get(OUTBOX), self.config, ctx.log, publish=ctx.publish)
        async with self._notifier.running():
            ctx.provide(NOTIFY, self._notifier)
            yield

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (NotificationAccepted, NotificationAcknowledged, NotificationDead)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        return [*problems(self.config), *channels_of(hooks).problems]


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many notifications are kept, and for how long those that nobody needs to look at any more."""

    most: Annotated[int, Meta(ge=1, le=10**6)] = 10_000
    retention: PositiveDuration = 90 * 86400.0


class NotifyMemory(Plugin[MemoryConfig]):
    """Notifications of a deployment with one process; they end with it."""

    provides = (OUTBOX,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._outbox = MemoryOutbox(most=self.config.most, retention=self.config.retention)
        ctx.provide(OUTBOX, self._outbox)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._outbox.forget(user)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"notifications": len(self._outbox)}
