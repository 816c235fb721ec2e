"""Agents: declare, serve and call them, wherever they run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, ClassVar

import msgspec

from tta_kernel import Context, Duration, Event, Hooks, NoConfig, Plugin, Problem, hookimpl

from . import hookspecs
from .capabilities import Capability, CapabilityScope, CapabilityStatus, CapabilityType
from .local import LocalAgents
from .memory import MemoryRegistry
from .model import (
    AGENT_REGISTRY,
    AGENTS,
    Agent,
    AgentCalled,
    AgentCard,
    AgentDeregistered,
    AgentError,
    AgentId,
    AgentRegistered,
    AgentRegistry,
    Agents,
    AgentSpec,
    OnPiece,
    Reply,
    Statistics,
    StepContext,
    Undo,
)  # fmt: skip

__all__ = [
    "AGENTS", "AGENT_REGISTRY", "Agent", "AgentCalled", "AgentCard", "AgentDeregistered", "AgentError", "AgentId",
    "AgentRegistered", "AgentRegistry", "AgentSpec", "Agents", "AgentsMemory", "AgentsPlugin", "Capability",
    "CapabilityScope", "CapabilityStatus", "CapabilityType", "OnPiece", "Reply", "Statistics", "StepContext",
    "Undo",
]  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long, in seconds, and how many replies are kept, so that a repeated call finds its answer."""

    reply_window: Duration = 600.0
    replies_kept: Annotated[int, msgspec.Meta(ge=1)] = 1024


class AgentsPlugin(Plugin[Config]):
    """Serves and calls agents."""

    requires = (AGENT_REGISTRY,)
    provides = (AGENTS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._agents = LocalAgents(
            ctx.get(AGENT_REGISTRY), ctx.publish, ctx.log,
            window=self.config.reply_window, kept=self.config.replies_kept,
        )  # fmt: skip
        ctx.provide(AGENTS, self._agents)
        yield

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (AgentRegistered, AgentDeregistered, AgentCalled)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        owners: dict[str, str] = {}
        problems = []
        for plugin, declared in hooks.collect(hookspecs.agents).items():
            for spec in () if isinstance(declared, Exception) else declared:
                if (first := owners.setdefault(spec.type, plugin)) != plugin:
                    what = f"declares the agent {spec.type!r}, and so does {first!r}"
                    problems.append(Problem(f"plugin {plugin!r}", what, "disable one of them"))
        return problems

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {address: msgspec.to_builtins(each) for address, each in self._agents.statistics().items()}


class AgentsMemory(Plugin[NoConfig]):
    """The registry of a deployment with one process."""

    provides = (AGENT_REGISTRY,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(AGENT_REGISTRY, MemoryRegistry())
        yield
