"""For tests of what a turn uses, and of what uses turns: a story of two sentences, and checks that a test writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tta_agents import AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, Service, hookimpl
from tta_kernel.testing import running
from tta_safety import About, Channel, SafetyPlugin
from tta_sessions import SESSIONS, SessionsMemory, SessionsPlugin
from tta_workflows import WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin

from . import OrchestrationPlugin

Check = Callable[[str, Channel, About], Any]
"""Judges a text, as the hook ``check_text`` does: returns a `Verdict`, or an awaitable of one."""


class Scene(msgspec.Struct, frozen=True):
    """What `Teller` is given."""

    text: str
    world: dict[str, int] = {}

    @property
    def turn(self) -> int:
        return self.world.get("turns", 0) + 1


class Told(msgspec.Struct, frozen=True):
    """What `Teller` answers."""

    text: str
    world: dict[str, int]


class Teller(AgentPlugin[NoConfig]):
    """An agent that tells two sentences, and counts turns in its world; a test overrides what it tells."""

    spec = AgentSpec("teller", "tells", Scene, Told, timeout=2.0)

    def pieces(self, scene: Scene) -> Sequence[str]:
        return (f"You said {scene.text}. ", "The sea ", "answers.")

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        pieces = self.pieces(request)
        for piece in pieces:
            await ctx.emit(piece)
        return Told("".join(pieces), {"turns": request.turn})


STORY = {"id": "story", "agent": "teller", "stream": True, "input": {"text": "input.text", "world": "input.world"}}
TURN = {"steps": [STORY], "output": {"text": "steps.story.text", "world": "steps.story.world"}}
"""The workflow in which `Teller` is all there is."""


def checking(check: Check) -> type[Plugin[NoConfig]]:
    """Make a plugin that checks texts."""

    class Checker(Plugin[NoConfig]):
        @hookimpl
        async def check_text(self, text: str, channel: Channel, about: About) -> Any:
            answer = check(text, channel, about)
            return await answer if hasattr(answer, "__await__") else answer

    return Checker


def telling(
    *checks: Check,
    teller: type[Teller] = Teller,
    turn: Mapping[str, Any] = TURN,
    services: Mapping[Service[Any], object] | None = None,
    settings: KernelSettings | None = None,
    plugins: Mapping[str, type[Plugin[Any]]] | None = None,
    **config: Any,
) -> Kernel:
    """Make a kernel whose turns are told by ``teller``; ``config`` is orchestration's.

    Each of ``checks`` becomes a plugin: ``checker-0`` and so on; ``plugins`` are more of them, by name. Sessions are
    kept in memory, unless ``services`` holds some.
    """
    all_plugins: list[type[Plugin[Any]] | Mapping[str, type[Plugin[Any]]]] = [
        OrchestrationPlugin, WorkflowsPlugin, WorkflowsLocal, WorkflowsMemory, AgentsPlugin, AgentsMemory, SafetyPlugin,
        SessionsPlugin,
        {"teller": teller}, {f"checker-{number}": checking(check) for number, check in enumerate(checks)},
        plugins or {},
    ]  # fmt: skip
    if SESSIONS not in (services or {}):
        all_plugins.append(SessionsMemory)
    configs = {"workflows": {"workflows": {"turn": turn}}}
    return running(*all_plugins, config=config, configs=configs, services=services, settings=settings)
