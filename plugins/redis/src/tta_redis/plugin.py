"""The plugin: one client for all backends, and how it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from packaging.version import InvalidVersion, Version

from tta_kernel import Context, Health, NotReady, Plugin, PluginError, hookimpl

from .client import REDIS, Redis, connect
from .config import Config
from .errors import RedisDown

OLDEST = Version("6.2")


class RedisPlugin(Plugin[Config]):
    """Redis for whoever needs it: standalone, Sentinel or Cluster."""

    provides = (REDIS,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._redis: Redis | None = None
        self._health = Health()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        try:
            client = connect(self.config)
            async with client as redis:
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
        try:
            await redis.execute("PING")
        except RedisDown as exc:
            raise NotReady(f"can't use Redis: {exc.reason}") from None
        problem = unsuitable(redis.server)
        if problem:
            raise PluginError(ctx.name, problem)
        ctx.log.info(
            "connected: %s %s, %s", redis.server.get("server"), redis.server.get("version"), redis.server.get("mode")
        )

    @hookimpl
    async def health(self) -> Health:
        if self._redis is None:
            return Health("failing", "not connected")
        before, status, detail = time.perf_counter(), "ok", ""
        try:
            await self._redis.execute("PING", timeout=1.0)
        except RedisDown as exc:
            status, detail = "failing", exc.reason
        else:
            spent = time.perf_counter() - before
            detail = f"{spent * 1000:.1f} ms a round trip"
            if spent >= self.config.slow:
                status = "degraded"
        if self._health.status != status or self._health.since is None:
            self._health = Health(status, detail, time.time())  # type: ignore[arg-type]
        self._health = Health(self._health.status, detail, self._health.since)
        return self._health

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        if self._redis is None:
            return {}
        now = anyio.current_time()
        return {
            "server": {key: self._redis.server.get(key, "") for key in ("server", "version", "mode")},
            "connections": [
                {"address": str(link.address), "pending": link.pending, "seconds": round(now - link.opened_at, 1)}
                for link in self._redis.links()
            ],
            **self._redis.counts(),
        }


def unsuitable(server: Mapping[str, Any]) -> str:
    """Say why a server can't be used, or nothing."""
    name, version = server.get("server", "redis"), str(server.get("version", ""))
    try:
        old = Version(version) < OLDEST
    except InvalidVersion:
        return ""  # a build of its own; HELLO it knows, and so it is no older than 6.0
    return f"{name} {version} is too old; Redis {OLDEST} or newer, or Valkey, is needed" if old else ""
