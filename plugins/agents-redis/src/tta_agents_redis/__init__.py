"""The registry of agents, and their replies, on Redis: for agents in many processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_agents import AGENT_REGISTRY, AGENT_REPLIES, AgentStatusChanged
from tta_kernel import Context, Figure, Health, Plugin, PositiveDuration, Size, hookimpl
from tta_redis import REDIS

from .registry import RedisRegistry
from .replies import RedisReplies
from .store import Store

__all__ = ["AgentsRedis", "Config", "RedisRegistry", "RedisReplies", "Store"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in seconds."""

    ttl: PositiveDuration = 30.0
    """How long after its last heartbeat an agent counts as alive."""
    interval: PositiveDuration | None = None
    """How often agents are told to Redis; without it every third of the ttl, and at most once a second."""
    state_ttl: PositiveDuration = 86_400.0
    max_state: Annotated[Size, msgspec.Meta(ge=1, le=256_000_000)] = 64_000
    max_reply: Annotated[Size, msgspec.Meta(ge=1, le=256_000_000)] = 1_000_000
    quarantine: PositiveDuration = 7 * 86_400.0
    """How long values are kept that lay under our keys, and weren't ours."""

    def __post_init__(self) -> None:
        if self.ttl < 0.1:
            raise ValueError("ttl is at least 100ms")
        if self.interval is not None and not 0 < self.interval < self.ttl:
            raise ValueError("interval lies between 0 and ttl")


FIGURES = (
    Figure("agents.registered", "agents that are alive, by whether this process serves them", label="where"),
    Figure("agents.displaced", "agents of this process whose names others have taken"),
    Figure("agents.quarantined", "entries of the registry that were quarantined, 100 at most"),
)


class AgentsRedis(Plugin[Config]):
    """Agents in many processes know of each other, and of each other's replies."""

    requires = (REDIS,)
    provides = (AGENT_REGISTRY, AGENT_REPLIES)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config, redis = self.config, ctx.get(REDIS)
        self._store = Store(redis, ttl=config.ttl, state_ttl=config.state_ttl, quarantine=config.quarantine)
        interval = config.interval or min(max(1.0, config.ttl / 3), config.ttl / 2)
        self._registry = RedisRegistry(
            redis, self._store, ctx.log, ctx.publish, interval=interval, max_state=config.max_state
        )  # fmt: skip
        self._replies = RedisReplies(redis, ctx.log, max_size=config.max_reply, quarantine=config.quarantine)
        self._health = Health(since=time.time())
        ctx.on(AgentStatusChanged, self._registry.on_status)
        ctx.start_soon(self._registry.beat)
        ctx.start_soon(self._registry.watch)
        ctx.provide(AGENT_REGISTRY, self._registry)
        ctx.provide(AGENT_REPLIES, self._replies)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._replies.forget(user)

    @hookimpl
    async def health(self) -> Health:
        registry = self._registry
        detail = f"agents are not announced: {registry.trouble}" if registry.trouble else ""
        if not detail and registry.displaced:
            names = ", ".join(sorted(map(str, registry.displaced)))
            detail = f"other processes serve under the same names: {names}"
        if detail != self._health.detail:
            self._health = Health("degraded" if detail else "ok", detail, time.time())
        return self._health

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        found = await self._registry.snapshot()
        quarantined = await self._store.quarantined()
        cards: Any = msgspec.to_builtins(found)
        return {
            **cards,
            "quarantined": quarantined,
            "agents.registered": {"local": len(found.local), "remote": len(found.remote)},
            "agents.displaced": len(self._registry.displaced),
            "agents.quarantined": len(quarantined),
        }
