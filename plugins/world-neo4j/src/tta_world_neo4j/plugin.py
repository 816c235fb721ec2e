"""The plugin: worlds in a Neo4j that several processes share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from tta_kernel import Context, Figure, Health, NotReady, Plugin, PluginError, Problem, hookimpl
from tta_world import FIGURES, WORLD, WorldError

from .config import Config

if TYPE_CHECKING:
    from .store import Neo4jWorlds

_SLOW = 0.5
"""Seconds after which an answer to nothing is late."""
_LOOK = 2.0
"""Seconds that looking how it is may take."""


class WorldNeo4j(Plugin[Config]):
    """Worlds outlive their process, and others see them: as a graph, too."""

    provides = (WORLD,)
    autoload = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._worlds: Neo4jWorlds | None = None
        self._health = Health()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        # Only where it runs: the driver imports NumPy and more where they are installed.
        from neo4j.exceptions import ConfigurationError

        from .store import Neo4jWorlds
        from .transactions import connect

        try:
            async with connect(self.config) as database:
                worlds = Neo4jWorlds(database, self.config)
                try:
                    await worlds.prepare()
                except WorldError as exc:
                    raise NotReady(f"can't use {exc}") from None
                self._worlds = worlds
                ctx.provide(WORLD, worlds)
                ctx.start_soon(self._sweep, ctx, worlds)
                yield
        except ConfigurationError as exc:
            raise PluginError(
                ctx.name, f"the driver can't be made: {exc}", hint="see url and tls in its config"
            ) from None
        finally:
            self._worlds = None

    async def _sweep(self, ctx: Context, worlds: Neo4jWorlds) -> None:
        while True:
            await anyio.sleep(self.config.sweep)
            try:
                while await worlds.sweep():
                    pass
            except WorldError as exc:
                ctx.log.warning("worlds that have ended are still there: %s", exc)

    @hookimpl
    def check(self) -> Sequence[Problem]:
        if not self.config.exposed or self.config.plain:
            return ()
        what = "what is sent to another host could be read on its way"
        return (
            Problem("plugins.world-neo4j.config.url", what, "say tls, or, within a network of your own, plain: true"),
        )

    @hookimpl
    async def health(self) -> Health:
        status, detail = await self._look()
        since = self._health.since if self._health.status == status else None
        self._health = Health(status, detail, since or time.time())
        return self._health

    async def _look(self) -> tuple[Any, str]:
        if self._worlds is None:
            return "failing", "not connected"
        try:
            with anyio.fail_after(_LOOK):
                took = await self._worlds.ping()
        except WorldError as exc:
            return "failing", str(exc)
        except TimeoutError:
            return "failing", f"Neo4j did not answer within {_LOOK:g} s"
        return ("ok" if took < _SLOW else "degraded"), f"{took * 1000:.1f} ms a round trip"

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        if self._worlds is None:
            raise WorldError("not connected")
        return await self._worlds.forget(user)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        worlds = self._worlds
        if worlds is None:
            return {}
        reads, cached = worlds.reads
        return {
            "world.applied": worlds.applied,
            "world.conflicts": worlds.conflicts,
            "world.reads": reads,
            "world.reads_cached": cached,
            "world.subscribers": worlds.subscribers,
        }
