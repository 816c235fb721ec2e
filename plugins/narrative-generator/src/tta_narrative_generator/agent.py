"""The agent ``narrative-generator``: the narrator, served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from tta_agents import AGENTS, AgentSpec, StepContext
from tta_kernel import Context, Plugin, hookimpl
from tta_world import Change, World

from .narrate import MAX_PARAGRAPHS, narrate, remembered


class In(msgspec.Struct, frozen=True):
    """What changed, and the world after it; ``seed`` and ``turn`` choose the words."""

    change: Change
    world: World
    seed: int | None = None
    turn: int | None = None


class Out(msgspec.Struct, frozen=True):
    """The story, and the world with what its narrator must remember."""

    text: str
    world: World


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many paragraphs a turn has at most."""

    max_paragraphs: Annotated[int, msgspec.Meta(ge=1, le=10)] = MAX_PARAGRAPHS


SPEC = AgentSpec("narrative-generator", "tells what happens", In, Out, ("narrative-generation",), timeout=10.0)


class NarrativeGenerator(Plugin[Config]):
    """Serves the narrator as an agent."""

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
        told = narrate(
            request.change, request.world, seed=request.seed, turn=request.turn,
            max_paragraphs=self.config.max_paragraphs,
        )  # fmt: skip
        for piece in told.pieces:
            await ctx.emit(piece)
        return Out(told.text, remembered(request.world, told))
