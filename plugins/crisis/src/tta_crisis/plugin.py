"""The plugins: the vocabulary with its service, and the store in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tta_kernel import Context, Event, NoConfig, Plugin, PositiveDuration, hookimpl

from .memory import MemoryCrisisStore
from .model import CrisisAcknowledged, CrisisEscalated, CrisisOpened, CrisisResolved
from .store import CRISIS_STORE


class CrisisPlugin(Plugin[NoConfig]):
    """The vocabulary of crises."""

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (CrisisOpened, CrisisAcknowledged, CrisisEscalated, CrisisResolved)


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many interventions there may be, and how long, in seconds, a resolved one and any packet is kept."""

    most: Annotated[int, Meta(ge=1, le=10**6)] = 10_000
    retention: PositiveDuration = 90 * 86400.0
    packets: PositiveDuration = 30 * 86400.0


class CrisisMemory(Plugin[MemoryConfig]):
    """Keeps the interventions of a deployment with one process; they end with it."""

    provides = (CRISIS_STORE,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._store = MemoryCrisisStore(
            time.time, most=self.config.most, retention=self.config.retention, packets=self.config.packets
        )  # fmt: skip
        ctx.provide(CRISIS_STORE, self._store)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._store.forget(user)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"crises": len(self._store)}
