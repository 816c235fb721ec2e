"""The plugins that fire schedules from this process, and keep them in its memory."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tta_kernel import Context, Duration, Figure, Plugin, PositiveDuration, hookimpl
from tta_workflows import WORKFLOWS
from tta_workflows.clock import SystemClock

from .memory import MemoryScheduleStore
from .scheduler import Scheduler, Settings
from .schedules import SCHEDULES
from .store import HISTORY, SCHEDULE_STORE

Count = Annotated[int, Meta(ge=1, le=10**6)]


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How this process fires schedules; see `Settings`."""

    lease: PositiveDuration = 10.0
    poll: PositiveDuration = 5.0
    at_once: Annotated[int, Meta(ge=1, le=1000)] = 32
    limit: PositiveDuration = 15.0
    grace: Duration = 3.0


FIGURES = (
    Figure("schedules.fired", "runs that were started for due times, by this process", "counter"),
    Figure("schedules.missed", "due times for which no run was started, as this process decided", "counter"),
    Figure("schedules.held", "whether this process is the one that fires"),
)


class SchedulesLocal(Plugin[LocalConfig]):
    """Fires schedules, as long as no other process does."""

    requires = (SCHEDULES, WORKFLOWS)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        schedules = ctx.get(SCHEDULES)
        settings = Settings(**msgspec.structs.asdict(self.config))
        self._scheduler = Scheduler(
            schedules, ctx.get(WORKFLOWS), SystemClock(), process=secrets.token_hex(6), log=ctx.log,
            publish=ctx.publish, settings=settings,
        )  # fmt: skip
        schedules.on_configured = self._scheduler.look_again
        async with self._scheduler.running():
            yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {
            "schedules.fired": self._scheduler.fired,
            "schedules.missed": self._scheduler.missed,
            "schedules.held": int(self._scheduler.hold.lease is not None),
        }


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many schedules there may be, and records of each; ``ended``: how long one that has ended is kept, in s."""

    most: Count = 10_000
    history: Annotated[int, Meta(ge=1, le=10_000)] = HISTORY
    ended: PositiveDuration = 30 * 86400.0


class SchedulesMemory(Plugin[MemoryConfig]):
    """Keeps the schedules of a deployment with one process; they end with it."""

    provides = (SCHEDULE_STORE,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._store = MemoryScheduleStore(
            time.time, most=self.config.most, history=self.config.history, ended=self.config.ended
        )  # fmt: skip
        ctx.provide(SCHEDULE_STORE, self._store)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._store.forget(user)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"schedules": len(self._store)}
