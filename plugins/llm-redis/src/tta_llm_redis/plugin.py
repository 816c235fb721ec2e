"""The plugin: budgets on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tta_kernel import Context, Figure, Health, Plugin, hookimpl
from tta_llm import BUDGETS
from tta_redis import REDIS, StoreConfig

from .store import RedisBudgets


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """A charge is where it is to be when ``wait_replicas`` have it; see `StoreConfig`."""


class LlmRedis(Plugin[Config]):
    """Many processes spend from the same budgets; what one has reserved stays charged when it is killed."""

    requires = (REDIS,)
    provides = (BUDGETS,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config = self.config
        self._budgets = RedisBudgets(
            ctx.get(REDIS), ctx.log, wait_replicas=config.wait_replicas, wait_timeout=config.wait_timeout
        )  # fmt: skip
        ctx.provide(BUDGETS, self._budgets)
        yield

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self._budgets.unconfirmed
        return Health("degraded" if unconfirmed else "ok", unconfirmed)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("llm.reservations", "calls that this process has charged to budgets", "counter"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"llm.reservations": self._budgets.reservations}
