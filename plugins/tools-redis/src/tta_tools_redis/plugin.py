"""The plugin: a store of tools on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from msgspec import Meta

from tta_kernel import Context, Figure, PositiveDuration, Size, hookimpl
from tta_redis import REDIS, StoreConfig, StorePlugin
from tta_tools import TOOL_STORE

from .store import RedisToolStore


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How many tools, results and approvals there may be, each; how many bytes results may have.

    ``poll``: after how many seconds changes are looked for where no notification comes. ``keep_figures``: for how long
    figures of a tool are kept that nobody calls.
    """

    most: Annotated[int, Meta(ge=1, le=10**6)] = 10_000
    size: Annotated[Size, Meta(ge=1, le=2**40)] = 64 * 2**20
    poll: PositiveDuration = 5.0
    keep_figures: PositiveDuration = 30 * 86_400.0


FIGURES = (Figure("tools.stored", "tools that are registered, in all processes"),)


class ToolsRedis(StorePlugin[Config]):
    """Tools outlive their process, and a call that has a key is made once in all processes."""

    provides = (TOOL_STORE,)
    store: RedisToolStore

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config = self.config
        self.store = RedisToolStore(
            ctx.get(REDIS), most=config.most, size=config.size, poll=config.poll, keep_figures=config.keep_figures,
            wait_replicas=config.wait_replicas, wait_timeout=config.wait_timeout,
        )  # fmt: skip
        async with self.store.listening():
            ctx.provide(TOOL_STORE, self.store)
            yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"tools.stored": await self.store.tools()}
