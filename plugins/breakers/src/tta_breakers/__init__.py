"""Circuit breakers: who fails again and again isn't called for a while, and then tried once, whoever calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tta_http import Route
from tta_kernel import Context, Event, Figure, Health, NoConfig, Plugin, hookimpl
from tta_program import Subcommands

from .breaker import Breaker, Permit
from .breakers import BREAKERS, Breakers
from .config import Config
from .memory import MemoryBreakerStore
from .model import (
    BREAKER_STORE,
    LONGEST_NAME,
    BreakerChanged,
    BreakerInfo,
    BreakerOpen,
    BreakersError,
    BreakerSettings,
    BreakerStore,
    Record,
    Records,
    Refused,
    Swap,
)
from .routes import breaker_routes
from .stores import guard_store, is_record

__all__ = [
    "BREAKERS", "BREAKER_STORE", "LONGEST_NAME", "Breaker", "BreakerChanged", "BreakerInfo", "BreakerOpen",
    "BreakerSettings", "BreakerStore", "Breakers", "BreakersError", "BreakersMemory", "BreakersPlugin", "Config",
    "Permit", "Record", "Records", "Refused", "Swap", "guard_store", "is_record",
]  # fmt: skip

FIGURES = (
    Figure("breakers.status", "breakers that this process has asked for, by their status", label="status"),
    Figure("breakers.refusals", "calls that were not to be made, by breaker", "counter", label="breaker"),
)


class BreakersPlugin(Plugin[Config]):
    """Gives a breaker for each name, and keeps them in step with those of other processes."""

    requires = (BREAKER_STORE,)
    provides = (BREAKERS,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._since = time.time()
        self._breakers = Breakers(ctx.get(BREAKER_STORE), self.config, ctx.log, publish=ctx.publish)
        async with self._breakers.running():
            ctx.provide(BREAKERS, self._breakers)
            yield

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (BreakerChanged,)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return breaker_routes(lambda: self._breakers)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl
    async def health(self) -> Health:
        trouble = self._breakers.trouble
        if trouble:
            return Health("degraded", f"each process decides alone: {trouble}", self._since)
        names = sorted(name for name, it in self._breakers.local().items() if it.record.status != "closed")
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            return Health("degraded", f"open: {', '.join(names[:5])}{more}", self._since)
        return Health(since=self._since)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        local = self._breakers.local()
        count = Counter(breaker.record.status for breaker in local.values())
        return {
            "breakers.status": {status: count[status] for status in ("closed", "open", "half_open")},
            "breakers.refusals": {name: breaker.refusals for name, breaker in local.items() if breaker.refusals},
        }


class BreakersMemory(Plugin[NoConfig]):
    """The breakers of a deployment with one process; they end with it."""

    provides = (BREAKER_STORE,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(BREAKER_STORE, MemoryBreakerStore())
        yield
