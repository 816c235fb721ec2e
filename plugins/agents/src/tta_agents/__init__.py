"""Agents: declare, serve and call them, wherever they run."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar

import msgspec

from tta_http import Route
from tta_kernel import Context, Event, Figure, Health, Hooks, NoConfig, Plugin, Problem, hookimpl
from tta_messages import MESSAGES, guard
from tta_metrics import METRICS
from tta_program import Subcommands

from . import hookspecs
from .capabilities import Capability, CapabilityScope, CapabilityStatus, CapabilityType
from .check import problems
from .config import AgentSettings, CallQueue, Config, Instance, RemoteAgent
from .counting import FIGURES, counted, picture
from .memory import MemoryRegistry
from .model import (
    AGENT_REGISTRY,
    AGENT_REPLIES,
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
    AgentStatusChanged,
    OnBeat,
    OnPiece,
    OnUndo,
    RegistryError,
    RegistrySnapshot,
    Replies,
    Reply,
    Report,
    Statistics,
    StepContext,
    Undo,
    Unknown,
)  # fmt: skip
from .plugin import AgentPlugin
from .routes import Known, agent_routes
from .stores import guard_registry, guard_replies
from .switchboard import Switchboard
from .wire import SIGNALS, Call

__all__ = [
    "AGENTS", "AGENT_REGISTRY", "AGENT_REPLIES", "Agent", "AgentCalled", "AgentCard", "AgentDeregistered", "AgentError",
    "AgentId", "AgentPlugin", "AgentRegistered", "AgentRegistry", "AgentSettings", "AgentSpec", "AgentStatusChanged",
    "Agents", "AgentsMemory", "AgentsPlugin", "CallQueue", "Capability", "CapabilityScope", "CapabilityStatus",
    "CapabilityType", "Instance", "OnBeat", "OnPiece", "OnUndo", "RegistryError", "RegistrySnapshot", "RemoteAgent",
    "Replies", "Reply", "Report", "Statistics", "StepContext", "Undo", "Unknown", "guard_registry", "guard_replies",
]  # fmt: skip

_TOLD = 5
"""Of how many degraded agents the health says why."""


class AgentsPlugin(Plugin[Config]):
    """Serves and calls agents."""

    requires = (AGENT_REGISTRY,)
    after = (MESSAGES, AGENT_REPLIES, METRICS)
    provides = (AGENTS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        found = ctx.find(MESSAGES)
        messages = guard(found) if found is not None else None
        if self.config.auto_register and messages is None:
            ctx.log.warning("no other process can call the agents of this one: nothing provides messages")
        if self.config.remote and messages is None:
            ctx.log.warning("agents of other deployments can't be called: nothing provides messages")
        self._agents = Switchboard(ctx, self.config, ctx.get(AGENT_REGISTRY), messages, ctx.find(AGENT_REPLIES))
        self._known = Known(guard_registry(ctx.get(AGENT_REGISTRY)), self._agents, time.time)
        ctx.provide(AGENTS, self._agents)
        try:
            with counted(ctx.find(METRICS)):
                yield
        finally:
            await self._agents.close()

    @hookimpl
    def agents(self) -> Sequence[AgentSpec]:
        return [
            AgentSpec(type, it.description, Unknown, Unknown, timeout=it.timeout or self.config.call_limit, version="")
            for type, it in self.config.remote.items()
        ]

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (AgentRegistered, AgentDeregistered, AgentStatusChanged, AgentCalled)

    @hookimpl(optionalhook=True)
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {Call.TYPE: Call, **SIGNALS}

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return agent_routes(lambda: self._known)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from .commands import add

        add(subcommands)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        return problems(self.config, hooks)

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._agents.forget(user)

    @hookimpl
    async def health(self) -> Health:
        told = [f"{address}: {why}" for address, why in sorted(self._agents.troubles().items())]
        more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        return Health("degraded" if told else "ok", "; ".join(told[:_TOLD]) + more)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return picture(self._agents.statistics(), self._agents.degraded())


class AgentsMemory(Plugin[NoConfig]):
    """The registry of a deployment with one process."""

    provides = (AGENT_REGISTRY,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(AGENT_REGISTRY, MemoryRegistry())
        yield
