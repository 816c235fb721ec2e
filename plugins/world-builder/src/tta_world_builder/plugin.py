"""The plugin: declares and serves the agent that keeps the world."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct, structs

from tta_agents import AgentError, AgentSpec, Capability, StepContext
from tta_kernel import Context, Hooks, PositiveDuration, Problem, hookimpl
from tta_llm import LanguageModel
from tta_llm.aided import AidedAgent, AidedConfig, is_late
from tta_llm.standby import Unanswered
from tta_sessions import Profile
from tta_world import Change, Intent, World

from .create import create
from .engine import apply
from .proposing import accepted, is_at_a_loss, prompt, propose
from .story import StoryError, load, shipped


class Config(AidedConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which story is told to whoever begins one."""

    story: str = "coast"
    timeout: PositiveDuration = 8.0


class In(Struct, frozen=True):
    """What a player means, and the world as it was; without one, a new one of this seed.

    Without an intent nothing happens: a reader needs a new world's names before the first turn. ``text`` is what the
    player wrote, ``profile`` whom the story is for, and ``due`` when, in seconds since the epoch, a first sentence is.
    """

    intent: Intent | None = None
    world: World | None = None
    seed: int | None = None
    text: str = ""
    profile: Profile = Profile()
    due: float = 0.0


class Out(Struct, frozen=True):
    """The world as it is now, and what changed; where there is a model, whose idea that was."""

    world: World
    change: Change
    trace: dict[str, str] = {}


SPEC = AgentSpec(
    type="world-builder",
    description="Keeps the world of a story: what may be done in it, and what comes of it.",
    input=In,
    output=Out,
    capabilities=(
        Capability(
            name="world_state_management",
            type="coordination",
            description="Creates a world and keeps its state: what an intent changes in it.",
            optional_inputs=frozenset({"intent", "world", "seed", "text", "profile", "due"}),
            estimated_duration_ms=20,
            tags=frozenset({"world", "state", "story"}),
        ),
    ),
    timeout=8.0,
)


class WorldBuilder(AidedAgent[Config]):
    """Keeps the world of a story; a model may propose what becomes of a deed that its rules have no answer to."""

    spec = SPEC

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        if self.config.story in shipped():
            return ()
        what = f"tells the story {self.config.story!r}, which isn't shipped"
        return (Problem("plugin 'world-builder'", what, f"choose one of {', '.join(shipped())}"),)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        load(self.config.story)
        prompt()
        async with super().lifespan(ctx):
            yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        try:
            load(config.story)
        except StoryError as exc:
            raise ValueError(str(exc)) from None
        return await super().prepare(config)

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Carry out one intent."""
        began = time.monotonic()
        world = request.world or create(load(self.config.story), request.seed or 0)
        if request.intent is None:
            return Out(world=world, change=Change(kind="nothing", outcome="done"))
        try:
            after, change = apply(world, request.intent)
        except StoryError as exc:
            raise AgentError("unknown_story", str(exc)) from None
        if (llm := self.llm) is None:
            return Out(world=after, change=change)
        by_rules = Out(world=after, change=change, trace={"by": "rules"})
        if not is_at_a_loss(change):
            return by_rules
        if is_late(request.due):
            return structs.replace(by_rules, trace={"by": "rules", "why": "hurried"})
        try:
            return await self._by_model(llm, world, request.intent, ctx, self.time_left(began))
        except Unanswered as exc:
            return structs.replace(by_rules, trace={"by": "rules", "why": exc.why})

    async def _by_model(
        self, llm: LanguageModel, world: World, intent: Intent, ctx: StepContext, within: float
    ) -> Out:  # fmt: skip
        """Have a model propose what the rules have no answer to; raise `Unanswered` where they refuse it."""
        proposal, model = await propose(llm, world, intent, request=self.asking(ctx), within=within)
        if (done := accepted(world, intent, proposal)) is None:
            raise Unanswered("refused_by_rules" if proposal.possible else "impossible")
        after, change = done
        return Out(after, change, {"by": "model", "prompt": prompt().id, "model": model})
