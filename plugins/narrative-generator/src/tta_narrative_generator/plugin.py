"""The plugin: declares and serves the agent that tells the story."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta, Struct, structs

from tta_agents import AgentSpec, Capability, StepContext
from tta_kernel import Context, Hooks, PositiveDuration, Problem, hookimpl
from tta_llm import MODELS, ChatRequest
from tta_llm.aided import AidedAgent, AidedConfig, is_late
from tta_sessions import Page, Profile, Tone
from tta_world import Change, Intent, World

from .author import prompt
from .briefing import briefing
from .grammar import rules
from .narrate import ending, narrate, remembered
from .teller import Asked, Teller
from .untouched import change_from


class Config(AidedConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is told; ``length`` and ``max_prompt`` are characters of a model's page, and of its briefing."""

    max_paragraphs: Annotated[int, Meta(ge=1, le=5)] = 3
    """Turns of the story are told whole all the same."""
    length: Annotated[int, Meta(ge=100, le=10_000)] = 900
    max_prompt: Annotated[int, Meta(ge=2000, le=200_000)] = 12_000
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.8
    timeout: PositiveDuration = 15.0


class In(Struct, frozen=True):
    """What changed, and the world after it; without a seed or a turn, the world's own.

    Without a change nothing did: an intent that only asks about the game is answered, and without one it is told how
    things stand.

    The rest is a turn's background, as `tta_orchestration.TurnInput` has it: what the player wrote, the last pages and
    a summary of those before them, who the story is for, how it is best told, and by when a first sentence is due.
    """

    world: World
    change: Change | None = None
    intent: Intent | None = None
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
    """The turn told, and the world with what its narrator must remember; where there is a model, who told it."""

    text: str
    world: World
    trace: dict[str, str] = {}


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
            required_inputs=frozenset({"world"}),
            optional_inputs=frozenset(
                {"change", "intent", "seed", "turn", "text", "history", "summary", "profile", "tone", "themes", "due"}
            ),
            estimated_duration_ms=20,
            tags=frozenset({"text", "story", "narrative"}),
        ),
    ),
    timeout=15.0,
)
_VERBATIM = frozenset({"reach-out", "harm", "help"})
"""What is said of lines to call, to somebody who may come to harm, and of the game, is said in its own words."""
_TOKENS = 3
"""A token has at least so many characters, in the languages that this story is told in."""


class NarrativeGenerator(AidedAgent[Config]):
    """Tells what happens in a world: a model writes it where there is one, in time; else rules do."""

    spec = SPEC

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        rules()
        prompt()
        async with super().lifespan(ctx):
            yield

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        if not self.config.ask or MODELS not in hooks.providers:
            return []
        what = (
            "a model would tell the story, and of what is unsafe in that the checks miss too much: docs/safety-card.md"
        )
        hint = "say `ask: false` in plugins.narrative-generator.config where anybody may be at risk"
        return [Problem("plugin 'narrative-generator'", what, hint, note=True)]

    async def process(self, request: In, ctx: StepContext) -> Out:
        """Tell one turn, and hand it on sentence by sentence."""
        began = time.monotonic()
        config, world = self.config, request.world
        change = request.change or change_from(request.intent, world)
        narration = narrate(change, world, seed=request.seed, turn=request.turn, max_paragraphs=config.max_paragraphs)
        end = ending(world, seed=request.seed, turn=request.turn)
        teller = Teller(narration, world, change, ctx, ending=end)
        llm = self.llm
        trace = {} if llm is None else {"by": "rules"}
        if llm is None or request.change is None or any(deed.name in _VERBATIM for deed in change.deeds):
            await teller.by_rules()
        elif teller.is_the_rules or (not ctx.released and is_late(request.due)):
            # What a rule has begun it ends; and whoever waits too long for a first sentence gets one now.
            await teller.by_rules()
            trace |= {} if teller.is_the_rules else {"why": "hurried"}
        else:

            def question(so_far: str) -> ChatRequest:
                return self._question(request, ctx, narration.plain, so_far)

            within = self.time_left(began)
            trace = await teller.by_model(Asked(llm, question, within, config.length, request.profile.avoid))
        return Out(text=teller.text, world=remembered(world, narration), trace=trace)

    def _question(self, request: In, ctx: StepContext, plain: str, so_far: str) -> ChatRequest:
        """Return what a model is asked: the page, or what comes after ``so_far``."""
        config = self.config
        sections = briefing(
            request.world, plain, text=request.text, history=request.history, summary=request.summary,
            profile=request.profile, tone=request.tone, themes=request.themes, length=config.length, so_far=so_far,
        )  # fmt: skip
        asking = self.asking(ctx)
        return structs.replace(
            asking, messages=prompt().messages(sections, most=config.max_prompt), temperature=config.temperature,
            max_tokens=config.length // _TOKENS,
            # The rest of a page is another question than the whole.
            key=f"{asking.key}:{len(so_far)}" if so_far else asking.key,
        )  # fmt: skip
