"""The plugins: the vocabulary with its commands and its route, and the worlds of a deployment with one process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tta_http import Route
from tta_kernel import Context, Event, Figure, NoConfig, Plugin, hookimpl
from tta_program import Subcommands

from .events import WorldConflicted, WorldRepaired
from .memory import MemoryWorlds
from .routes import world_routes
from .settings import WorldConfig
from .store import FIGURES, WORLD


class WorldPlugin(Plugin[NoConfig]):
    """The vocabulary of worlds, the commands ``tta world …``, and a world's sizes over HTTP."""

    after = (WORLD,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._ctx = ctx
        yield

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return world_routes(lambda: self._ctx.find(WORLD))

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (WorldRepaired, WorldConflicted)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)


class Config(WorldConfig, frozen=True, forbid_unknown_fields=True):
    """``limit``: how many worlds there may be; the one that rested longest makes room."""

    limit: Annotated[int, Meta(ge=1, le=10**9)] = 10_000


class WorldMemory(Plugin[Config]):
    """Worlds of a deployment with one process; they end with it."""

    provides = (WORLD,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._worlds = MemoryWorlds(time.time, **msgspec.structs.asdict(self.config))
        ctx.provide(WORLD, self._worlds)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._worlds.forget(user)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (*FIGURES, Figure("world.kept", "worlds in memory, also ended ones that nobody has asked for"))

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        worlds = self._worlds
        reads, cached = worlds.reads
        return {
            "world.applied": worlds.applied,
            "world.conflicts": worlds.conflicts,
            "world.reads": reads,
            "world.reads_cached": cached,
            "world.subscribers": worlds.subscribers,
            "world.kept": len(worlds),
        }
