"""The agent ``input-processor``: the parser, served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from tta_agents import AGENTS, AgentSpec, StepContext
from tta_kernel import Context, Plugin, hookimpl
from tta_world import Intent, World

from .parser import MAX_COMMANDS, THRESHOLD, parse


class In(msgspec.Struct, frozen=True):
    """What the player wrote, and the world in which they wrote it."""

    text: str
    world: World | None = None


class Out(msgspec.Struct, frozen=True):
    """What the player means."""

    intent: Intent


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Below which confidence a reading is only a guess, and how many commands a sentence may hold."""

    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = THRESHOLD
    max_commands: Annotated[int, msgspec.Meta(ge=1, le=20)] = MAX_COMMANDS


SPEC = AgentSpec("input-processor", "reads what a player wrote", In, Out, ("text-analysis",), timeout=5.0)


class InputProcessor(Plugin[Config]):
    """Serves the parser as an agent."""

    requires = (AGENTS,)
    spec = SPEC

    @hookimpl
    def agents(self) -> Sequence[AgentSpec]:
        return (SPEC,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with ctx.get(AGENTS).serve(self):
            yield

    async def process(self, request: In, ctx: StepContext) -> Out:
        config = self.config
        return Out(parse(request.text, request.world, threshold=config.threshold, max_commands=config.max_commands))
