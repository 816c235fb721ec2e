"""The plugin: the registry as a service, and what is read in the background so that a scrape awaits nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import anyio
from msgspec import Meta, Struct

from tta_http import Content, Nothing, Principal, Route
from tta_kernel import KERNEL, Context, Plugin, PositiveDuration, hookimpl
from tta_program import Subcommands
from tta_program.logs import Redactor

from .registry import METRICS, Metrics
from .routes import routes_of, scrape, show
from .snapshots import Snapshots
from .standard import Loop, Plugins, add_build, add_process
from .view import MetricsView

_PAUSE = 0.25
"""Seconds between two looks at the events that are counted."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """``interval``: how often plugins are asked for their snapshots, in seconds; ``stale_after``: how long a number is
    kept that its plugin doesn't tell any more; ``label_sets``: how many series a metric has before all others are one.
    """

    interval: PositiveDuration = 5.0
    stale_after: PositiveDuration = 60.0
    label_sets: Annotated[int, Meta(ge=1, le=10_000)] = 200


class MetricsPlugin(Plugin[Config]):
    """The registry of metrics, with what the kernel, the process and other plugins' snapshots say."""

    requires = (KERNEL,)
    provides = (METRICS,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        kernel = ctx.get(KERNEL)
        metrics = Metrics(label_sets=self.config.label_sets, secrets=kernel.secrets, events=kernel.events)
        add_build(metrics)
        add_process(metrics)
        self._plugins = Plugins(kernel, metrics)
        self._snapshots = Snapshots(kernel, metrics, Redactor(kernel.secrets), stale_after=self.config.stale_after)
        self._metrics = metrics
        ctx.start_soon(self._read)
        ctx.start_soon(self._count, metrics)
        ctx.start_soon(Loop(metrics).run)
        ctx.provide(METRICS, metrics)
        yield

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return routes_of(self._prometheus, self._json)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    async def _prometheus(self, request: Nothing, principal: Principal, type: str) -> Content:
        return Content(await scrape(self._metrics, type))

    async def _json(self, request: Nothing, principal: Principal) -> MetricsView:
        return await show(self._metrics, self._snapshots)

    async def _read(self) -> None:
        while True:
            self._plugins.look()
            await self._snapshots.read()
            await anyio.sleep(self.config.interval)

    async def _count(self, metrics: Metrics) -> None:
        while True:
            await metrics.catch_up()
            await anyio.sleep(_PAUSE)
