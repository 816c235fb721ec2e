"""The plugin: declares and serves an agent that adds one kind sentence to a text."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from tta_agents import AgentPlugin, AgentSpec, StepContext


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


class ExampleAgent(AgentPlugin[Config]):
    """Adds one kind sentence to a text."""

    spec = SPEC

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Answer one request; nothing is kept between two of them."""
        return Out(text=f"{request.text} {self.config.sentence}".lstrip())
