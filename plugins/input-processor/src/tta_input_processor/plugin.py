"""The plugin: declares and serves the agent that reads what a player wrote."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta, Struct

from tta_agents import AgentSpec, Capability, StepContext
from tta_kernel import Context, PositiveDuration
from tta_llm.aided import AidedAgent, AidedConfig, is_late
from tta_llm.standby import Unanswered
from tta_sessions import Page
from tta_world import Intent, Route, World, route


class Config(AidedConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is read, and how sure one must be of it."""

    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.35
    """Below this confidence an intent is `unclear`, and a model is asked, where there is one."""
    max_commands: Annotated[int, Meta(ge=1, le=8)] = 6
    max_chars: Annotated[int, Meta(ge=100, le=2000)] = 2000
    timeout: PositiveDuration = 5.0


class In(Struct, frozen=True):
    """What a player wrote, and the world in which they wrote it, once there is one.

    ``history`` are the last pages, and ``due`` is when, in seconds since the epoch, a first sentence of the story is.
    """

    text: str
    world: World | None = None
    history: tuple[Page, ...] = ()
    due: float = 0.0


class Out(Struct, frozen=True):
    """What they mean, and the way that it takes through a turn; where there is a model, who says so."""

    intent: Intent
    route: Route = "act"
    trace: dict[str, str] = {}


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
    timeout=5.0,
)
_RECENT = 2
"""How many pages a model is told that is asked what somebody means."""


class InputProcessor(AidedAgent[Config]):
    """Reads what a player wrote, and says what they mean; a model is asked only where the rules can't tell."""

    spec = SPEC

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        # The lexicon is read here, not by whoever imports the class.
        from . import guessing
        from .parser import parse

        self._parse, self._guessing = parse, guessing
        guessing.prompt()
        parse("look around")
        async with super().lifespan(ctx):
            yield

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Read one text."""
        began = time.monotonic()
        config = self.config
        intent = self._parse(
            request.text,
            request.world,
            threshold=config.threshold,
            max_commands=config.max_commands,
            max_chars=config.max_chars,
        )
        way = route(intent, request.world)
        if (llm := self.llm) is None:
            return Out(intent, way)
        trace = {"by": "rules"}
        if not self._guessing.is_unsure(intent):
            return Out(intent, way, trace)
        if is_late(request.due):
            return Out(intent, way, {**trace, "why": "hurried"})
        recent = [page.told for page in request.history[-_RECENT:]]
        try:
            intent, model = await self._guessing.guess(
                llm, intent, request.world, recent, request=self.asking(ctx), within=self.time_left(began)
            )
        except Unanswered as exc:
            return Out(intent, way, {**trace, "why": exc.why})
        return Out(
            intent, route(intent, request.world), {"by": "model", "prompt": self._guessing.prompt().id, "model": model}
        )
