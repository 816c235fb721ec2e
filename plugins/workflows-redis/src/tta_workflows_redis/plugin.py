"""The plugin: the journal of workflows on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, PositiveDuration, Size, hookimpl
from tta_redis import REDIS, StoreConfig, StorePlugin
from tta_workflows.journal import JOURNAL

from .journal import RedisJournal


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How large a run may be, and how long things are kept, in bytes and seconds; see `RedisJournal`."""

    most_records: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 10_000
    max_size: Annotated[Size, msgspec.Meta(ge=1000, le=256_000_000)] = 16_000_000
    runs: Annotated[int, msgspec.Meta(ge=1, le=10**7)] = 100_000
    unfinished: PositiveDuration = 30 * 86400.0
    quarantine: PositiveDuration = 7 * 86400.0
    sweep: PositiveDuration = 30.0
    poll: PositiveDuration = 5.0


FIGURES = (
    Figure("workflows.commits", "commits that were stored, by this process", "counter"),
    Figure("workflows.fenced", "commits refused since another process has the run", "counter"),
    Figure("workflows.claimed", "runs taken over by this process", "counter"),
)


class WorkflowsRedis(StorePlugin[Config]):
    """Runs that outlive their process: any other that shares the Redis finishes them."""

    provides = (JOURNAL,)
    store: RedisJournal

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.store = RedisJournal(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        async with self.store.listening():
            ctx.provide(JOURNAL, self.store)
            yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {
            "workflows.commits": self.store.commits,
            "workflows.fenced": self.store.fenced,
            "workflows.claimed": self.store.claimed,
        }
