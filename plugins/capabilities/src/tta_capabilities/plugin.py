"""The plugin: the service `CAPABILITIES`, kept as the registry of agents is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tta_agents import AGENT_REGISTRY, AGENTS, AgentDeregistered, AgentRegistered, AgentStatusChanged, guard_registry
from tta_kernel import Context, Plugin

from .config import Config
from .discovery import Discovery
from .finder import Finder
from .index import CapabilityIndex
from .matching import CAPABILITIES, EMBEDDER


class CapabilitiesPlugin(Plugin[Config]):
    """Finds agents by what they can do."""

    requires = (AGENTS, AGENT_REGISTRY)
    after = (EMBEDDER,)
    provides = (CAPABILITIES,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        index = CapabilityIndex()
        registry = guard_registry(ctx.get(AGENT_REGISTRY))
        discovery = Discovery(ctx.get(AGENTS), registry, index, self.config, ctx.log)
        ctx.on(AgentRegistered, discovery.on_registered)
        ctx.on(AgentDeregistered, discovery.on_deregistered)
        ctx.on(AgentStatusChanged, discovery.on_status)
        await discovery.begin()
        ctx.start_soon(discovery.run)
        timeout = self.config.embedding_timeout
        ctx.provide(CAPABILITIES, Finder(index, discovery, ctx.find(EMBEDDER), ctx.log, embedding_timeout=timeout))
        yield
