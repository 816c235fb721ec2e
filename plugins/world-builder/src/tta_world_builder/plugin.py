"""The plugin: declares and serves the agent that keeps the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from tta_agents import AgentError, AgentPlugin, AgentSpec, Capability, StepContext
from tta_kernel import Context, Hooks, Problem, hookimpl
from tta_sessions import Profile
from tta_world import Change, Intent, World

from .create import create
from .engine import apply
from .story import StoryError, load, shipped


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Which story is told to whoever begins one."""

    story: str = "coast"


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
    """The world as it is now, and what changed."""

    world: World
    change: Change


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
    timeout=2.0,
)


class WorldBuilder(AgentPlugin[Config]):
    """Keeps the world of a story."""

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
        world = request.world or create(load(self.config.story), request.seed or 0)
        if request.intent is None:
            return Out(world=world, change=Change(kind="nothing", outcome="done"))
        try:
            world, change = apply(world, request.intent)
        except StoryError as exc:
            raise AgentError("unknown_story", str(exc)) from None
        return Out(world=world, change=change)
