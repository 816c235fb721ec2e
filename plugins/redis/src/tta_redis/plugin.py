"""The plugin: one client for all backends, and how it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
from packaging.version import InvalidVersion, Version

from tta_kernel import Context, Figure, Health, NotReady, Plugin, PluginError, Problem, hookimpl

from .client import REDIS, Redis, connect
from .config import Config
from .errors import RedisDown

OLDEST = Version("6.2")
FIGURES = (
    Figure("redis.calls", "commands that were to be answered, each pipeline's all", "counter"),
    Figure("redis.connections", "open connections"),
    Figure("redis.pending", "answers that servers owe"),
    Figure("redis.listeners", "what listens to published messages"),
    Figure("redis.listening_reconnects", "interruptions of listening", "counter"),
    Figure("redis.scripts", "scripts that servers are taught when they don't know them"),
)


class RedisPlugin(Plugin[Config]):
    """Redis for whoever needs it: standalone, Sentinel or Cluster."""

    provides = (REDIS,)
    autoload = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._redis: Redis | None = None
        self._health = Health()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        try:
            async with connect(self.config) as redis:
                await self._start(ctx, redis)
                self._redis = redis
                ctx.provide(REDIS, redis)
                yield
        except (OSError, ValueError) as exc:
            if self._redis is not None:
                raise
            raise PluginError(ctx.name, f"its TLS files can't be used: {exc}", hint="see tls in its config") from None
        finally:
            self._redis = None

    async def _start(self, ctx: Context, redis: Redis) -> None:
        limit = self.config.connect_timeout
        try:
            # Sentinels, or a Cluster's nodes, are asked for the way first.
            await redis.execute("PING", timeout=limit * (2 if self.config.sentinel or self.config.cluster else 1))
        except RedisDown as exc:
            raise NotReady(f"can't use Redis: {exc.reason}") from None
        problem = unsuitable(redis.server)
        if problem:
            raise PluginError(ctx.name, problem)
        ctx.log.info(
            "connected: %s %s, %s", redis.server.get("server"), redis.server.get("version"), redis.server.get("mode")
        )

    @hookimpl
    def check(self) -> Sequence[Problem]:
        try:
            if self.config.secure:
                self.config.secure.context()
        except (OSError, ValueError) as exc:
            where = "plugins.redis.config.tls"
            return [Problem(where, f"its files can't be used: {exc}", "mend the paths", deployment_only=True)]
        return []

    @hookimpl
    async def health(self) -> Health:
        if self._redis is None:
            return Health("failing", "not connected")
        pings = await self._redis.ping(1.0)
        refusals = await self._redis.refusals(0.5)
        status, detail = assess(pings, self.config.slow, refusals)
        since = self._health.since if self._health.status == status else None
        self._health = Health(status, detail, since or time.time())
        return self._health

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        if self._redis is None:
            return {}
        now = anyio.current_time()
        return {
            "server": {key: self._redis.server.get(key, "") for key in ("server", "version", "mode")},
            "connections": [
                {"address": str(each.address), "pending": each.pending, "seconds": round(now - each.opened_at, 1)}
                for each in self._redis.connections()
            ],
            **self._redis.counts(),
        }


def assess(
    pings: Mapping[str, float | str], slow: float, refusals: Mapping[str, str] = {}
) -> tuple[Literal["ok", "degraded", "failing"], str]:
    """Say how it is from what the masters answered.

    Degraded if one is slow, silent, or takes no writes (``refusals``); failing if all are silent.
    """
    times = [it for it in pings.values() if isinstance(it, float)]
    silent = "; ".join(sorted({it for it in pings.values() if isinstance(it, str)}))
    if not times:
        return "failing", silent or "no master is known"
    if silent:
        return "degraded", silent
    if refusals:
        return "degraded", unwritable(refusals)
    detail = f"{max(times) * 1000:.1f} ms a round trip"
    return ("degraded" if max(times) >= slow else "ok"), detail


def unwritable(refusals: Mapping[str, str]) -> str:
    """Say which masters take no writes, and why."""
    return "; ".join(f"{name} takes no writes: {why}" for name, why in sorted(refusals.items()))


def unsuitable(server: Mapping[str, Any]) -> str:
    """Say why a server can't be used, or nothing."""
    name = server.get("server", "redis")
    version = str(server.get("version", ""))
    try:
        old = Version(version) < OLDEST
    except InvalidVersion:
        return ""  # a build of its own; HELLO it knows, and so it is no older than 6.0
    return f"{name} {version} is too old; Redis {OLDEST} or newer, or Valkey, is needed" if old else ""
