"""The plugin: declares and serves an agent that adds one kind sentence to a text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta, Struct
from tta_agents import AGENTS, AgentSpec, StepContext
from tta_kernel import Context, Plugin, hookimpl


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set under ``plugins: {example-agent: {config: ...}}``; a misspelt key is an error."""

    sentence: Annotated[str, Meta(min_length=1)] = "Take all the time you need."
    """What is added at the end of each text."""


class In(Struct, frozen=True):
    """What the agent takes."""

    text: str


class Out(Struct, frozen=True):
    """What it gives back."""

    text: str


# `tta check` holds the workflows' inputs and outputs against this, before anything starts.
SPEC = AgentSpec(
    type="example-agent",
    description="Adds one kind sentence to a text.",
    input=In,
    output=Out,
    timeout=2.0,
)


class ExampleAgent(Plugin[Config]):
    """Adds one kind sentence to a text."""

    requires = (AGENTS,)
    spec = SPEC

    @hookimpl
    def agents(self) -> Sequence[AgentSpec]:
        return (SPEC,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        # Served for as long as the plugin runs; what the agent needs is opened before, and closed after.
        async with ctx.get(AGENTS).serve(self):
            yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        def commit() -> None:
            self.config = config

        return commit

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Answer one request; nothing is kept between two of them."""
        return Out(text=f"{request.text} {self.config.sentence}".lstrip())
