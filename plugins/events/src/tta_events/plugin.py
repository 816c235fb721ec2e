"""The plugin: the ring, fed by the kernel's bus, and its route."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import msgspec
from msgspec.structs import replace

from tta_http import Principal, Route
from tta_kernel import KERNEL, Context, Event, Plugin, PluginStateChanged, Subscription, hookimpl

from .model import EVENTS, Page
from .ring import Ring
from .routes import Ask, answer, routes_of


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``size``: how many events are kept."""

    size: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 5000


class EventsPlugin(Plugin[Config]):
    """Keeps the last events of this process; they end with it."""

    requires = (KERNEL,)
    provides = (EVENTS,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._waits: set[anyio.CancelScope] = set()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        kernel = ctx.get(KERNEL)
        subscription: Subscription[Any] = kernel.events.attach(Event, buffer=self.config.size, owner=ctx.name)
        self._ring = Ring(subscription, self.config.size, kernel.secrets)
        try:
            ctx.start_soon(self._ring.run)
            ctx.on(PluginStateChanged, self._end_waits)
            ctx.provide(EVENTS, self._ring)
            yield
        finally:
            kernel.events.detach(subscription)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return routes_of(self._answer)

    async def _answer(self, request: Ask, principal: Principal) -> Page:
        with anyio.CancelScope() as wait:
            self._waits.add(wait)
            try:
                return await answer(self._ring, request)
            finally:
                self._waits.discard(wait)
        return await answer(self._ring, replace(request, wait=0.0))

    async def _end_waits(self, event: PluginStateChanged) -> None:
        """Answer those who wait as soon as something stops: a stop would wait for them in turn."""
        if event.state == "stopping":
            for wait in self._waits:
                wait.cancel()

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._ring.forget(user)
