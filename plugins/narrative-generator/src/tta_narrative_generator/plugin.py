"""The plugin: declares and serves the agent that tells the story."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta, Struct

from tta_agents import AgentPlugin, AgentSpec, Capability, StepContext
from tta_kernel import Context
from tta_sessions import Page, Profile, Tone
from tta_world import Change, World

from .grammar import rules
from .narrate import narrate, remembered


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is told of a turn."""

    max_paragraphs: Annotated[int, Meta(ge=1, le=5)] = 3
    """Turns of the story are told whole all the same."""


class In(Struct, frozen=True):
    """What changed, and the world after it; without a seed or a turn, the world's own.

    The rest is a turn's background, as `tta_orchestration.TurnInput` has it: what the player wrote, the last pages and
    a summary of those before them, who the story is for, how it is best told, and by when a first sentence is due.
    """

    change: Change
    world: World
    seed: int | None = None
    turn: int | None = None
    text: str = ""
    history: tuple[Page, ...] = ()
    summary: str = ""
    profile: Profile = Profile()
    tone: Tone = "warm"
    themes: tuple[str, ...] = ()
    due: float = 0.0


class Out(Struct, frozen=True):
    """The turn told, and the world with what its narrator must remember."""

    text: str
    world: World


SPEC = AgentSpec(
    type="narrative-generator",
    description="Tells what happens, kindly, sentence by sentence, and never twice the same.",
    input=In,
    output=Out,
    capabilities=(
        Capability(
            name="narrative_generation",
            type="generation",
            description="Tells what happened in a world, kindly, as a story.",
            required_inputs=frozenset({"change", "world"}),
            optional_inputs=frozenset(
                {"seed", "turn", "text", "history", "summary", "profile", "tone", "themes", "due"}
            ),
            estimated_duration_ms=20,
            tags=frozenset({"text", "story", "narrative"}),
        ),
    ),
    timeout=10.0,
)


class NarrativeGenerator(AgentPlugin[Config]):
    """Tells what happens in a world."""

    spec = SPEC

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        rules()
        async with super().lifespan(ctx):
            yield

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Tell one turn, and hand it on sentence by sentence."""
        narration = narrate(
            request.change,
            request.world,
            seed=request.seed,
            turn=request.turn,
            max_paragraphs=self.config.max_paragraphs,
        )
        for piece in narration.pieces:
            await ctx.emit(piece)
        return Out(text=narration.text, world=remembered(request.world, narration))
