"""The plugin: declares and serves the agent that reads what a player wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta, Struct

from tta_agents import AgentPlugin, AgentSpec, Capability, StepContext
from tta_kernel import Context
from tta_sessions import Page
from tta_world import Intent, World


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is read, and how sure one must be of it."""

    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.35
    """Below this confidence an intent is `unclear`."""
    max_commands: Annotated[int, Meta(ge=1, le=8)] = 6
    max_chars: Annotated[int, Meta(ge=100, le=2000)] = 2000


class In(Struct, frozen=True):
    """What a player wrote, and the world in which they wrote it, once there is one.

    ``history`` are the last pages, and ``due`` is when, in seconds since the epoch, a first sentence of the story is.
    """

    text: str
    world: World | None = None
    history: tuple[Page, ...] = ()
    due: float = 0.0


class Out(Struct, frozen=True):
    """What they mean."""

    intent: Intent


SPEC = AgentSpec(
    type="input-processor",
    description="Reads what a player wrote: commands, feelings, questions.",
    input=In,
    output=Out,
    capabilities=(
        Capability(
            name="text_analysis",
            type="processing",
            description="Understands what a player wrote: commands, feelings, questions.",
            required_inputs=frozenset({"text"}),
            optional_inputs=frozenset({"world", "history", "due"}),
            estimated_duration_ms=20,
            tags=frozenset({"text", "input", "intent", "feelings"}),
        ),
    ),
    timeout=2.0,
)


class InputProcessor(AgentPlugin[Config]):
    """Reads what a player wrote, and says what they mean."""

    spec = SPEC

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        # The lexicon is read here, not by whoever imports the class.
        from .parser import parse

        self._parse = parse
        parse("look around")
        async with super().lifespan(ctx):
            yield

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Read one text."""
        config = self.config
        intent = self._parse(
            request.text,
            request.world,
            threshold=config.threshold,
            max_commands=config.max_commands,
            max_chars=config.max_chars,
        )
        return Out(intent=intent)
