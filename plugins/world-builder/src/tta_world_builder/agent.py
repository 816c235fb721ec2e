"""The agent ``world-builder``: the world, served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from tta_agents import AGENTS, AgentSpec, StepContext
from tta_kernel import Context, Plugin, Problem, hookimpl
from tta_world import Change, Intent, World

from .create import new_world
from .story import StoryError, load, shipped
from .turns import apply


class In(msgspec.Struct, frozen=True):
    """What the player means, and the world so far; without one a new world is made from the seed."""

    intent: Intent
    world: World | None = None
    seed: int = 0


class Out(msgspec.Struct, frozen=True):
    """The world afterwards, and what changed in it."""

    world: World
    change: Change


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which shipped story a new world is made of."""

    story: str = "coast"


SPEC = AgentSpec("world-builder", "keeps the world of a story", In, Out, ("world-state",), timeout=5.0)


class WorldBuilder(Plugin[Config]):
    """Serves the world model as an agent."""

    requires = (AGENTS,)
    spec = SPEC

    @hookimpl
    def agents(self) -> Sequence[AgentSpec]:
        return (SPEC,)

    @hookimpl
    def check(self) -> Sequence[Problem]:
        try:
            load(self.config.story)
        except StoryError as exc:
            where = "plugins.world-builder.config.story"
            return [Problem(where, str(exc), f"there are: {', '.join(sorted(shipped()))}")]
        return ()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with ctx.get(AGENTS).serve(self):
            yield

    async def process(self, request: In, ctx: StepContext) -> Out:
        world = request.world or new_world(request.seed, story=self.config.story)
        return Out(*apply(world, request.intent))
