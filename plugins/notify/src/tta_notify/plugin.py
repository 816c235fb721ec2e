"""The plugins: NOTIFY and the vocabulary, whoever sends what lies in the outbox, and an outbox in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Annotated, Any, ClassVar

import anyio
import msgspec
from msgspec import Meta

from tta_http import HTTP, Route
from tta_kernel import (
    ConfigError,
    Context,
    Duration,
    Event,
    Figure,
    Health,
    Hooks,
    Plugin,
    PluginError,
    PositiveDuration,
    Problem,
    hookimpl,
)
from tta_program import Subcommands

from . import hookspecs
from .check import deployment_problems
from .config import Config, problems
from .directory import Directory, channels_of, follow_up
from .memory import MemoryOutbox
from .model import NotificationAccepted, NotificationAcknowledged, NotificationDead
from .moving import Mover
from .notifier import NOTIFY, Notifier
from .outbox import OUTBOX, Outbox, guard
from .routes import notification_routes
from .sender import Sender
from .worker import Worker

_LAST = 1.0
"""Seconds that storing what went out from memory has at the end."""
FIGURES = (
    Figure("notify.accepted", "messages that a channel says it has taken, by channel", "counter", label="channel"),
    Figure("notify.failures", "tries of this process that came to nothing, by channel", "counter", label="channel"),
    Figure("notify.failing", "whether a channel is left alone just now, by channel", label="channel"),
    Figure("notify.unstored", "notifications that the outbox hasn't got yet, and that go out from memory"),
    Figure("notify.handed_over", "notifications that this process was handed", "counter"),
)


class NotifyPlugin(Plugin[Config]):
    """Takes what humans are to know, whether or not the outbox can be reached."""

    requires = (OUTBOX,)
    provides = (NOTIFY,)
    after = (HTTP,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._notifier: Notifier | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        http = ctx.find(HTTP)
        directory = channels_of(ctx)
        self._notifier = notifier = Notifier(ctx.get(OUTBOX), self.config, ctx.log, publish=ctx.publish)
        notifier.sender = Sender(
            directory.channels, self.config, ctx.log, notify=notifier.notify, public_url=http.public_url if http else ""
        )
        notifier.follow_up = partial(follow_up, ctx)
        mover = Mover(notifier.lane, notifier.outbox, notifier.clock, ctx.log, back=notifier.is_back)
        async with notifier.running():
            ctx.start_soon(notifier.worker(notifier.lane, ctx.log).run)
            ctx.start_soon(mover.run)
            ctx.provide(NOTIFY, notifier)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await mover.finish(_LAST)

    async def prepare(self, config: Config) -> Callable[[], None]:
        if wrong := [*problems(config)]:
            raise ConfigError(*wrong)
        return lambda: self._running.configure(config)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (NotificationAccepted, NotificationAcknowledged, NotificationDead)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        directory: Directory = channels_of(hooks)
        return [*problems(self.config), *directory.problems, *deployment_problems(self.config, directory, hooks)]

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return notification_routes(lambda: self._running)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._running.lane.forget(user)

    @hookimpl
    async def health(self) -> Health:
        notifier = self._running
        failing = [name for name, pause in notifier.sender.pauses.items() if pause.failing]
        if notifier.trouble:
            return Health("degraded", f"notifications go out from memory: {notifier.trouble}")
        if failing:
            said = ", ".join(f"{name} ({notifier.sender.pauses[name].said})" for name in sorted(failing))
            return Health("degraded", f"channels fail: {said}")
        return Health()

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        if self._notifier is None:
            return {}
        sender = self._notifier.sender
        return {
            "notify.accepted": dict(sender.accepted),
            "notify.failures": dict(sender.failures),
            "notify.failing": {name: int(pause.failing) for name, pause in sender.pauses.items()},
            "notify.unstored": len(self._notifier.lane),
            "notify.handed_over": self._notifier.handed_over,
        }

    @property
    def _running(self) -> Notifier:
        if self._notifier is None:
            raise PluginError("notify", "doesn't run")
        return self._notifier


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How this process sends: ``at_once`` so many, each under a lease of its own; it looks every ``poll`` seconds.

    ``grace``: how long what is being sent has to be done when the process stops.
    """

    at_once: Annotated[int, Meta(ge=1, le=1000)] = 16
    lease: PositiveDuration = 20.0
    poll: PositiveDuration = 5.0
    grace: Duration = 5.0


class NotifyLocal(Plugin[LocalConfig]):
    """Sends what lies in the outbox, beside all other processes that do."""

    requires = (NOTIFY, OUTBOX)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        settings = msgspec.structs.asdict(self.config)
        grace = settings.pop("grace")
        outbox: Outbox = guard(ctx.get(OUTBOX))
        worker: Worker = ctx.get(NOTIFY).worker(outbox, ctx.log, **settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.finish(grace)
                tasks.cancel_scope.cancel()


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
