"""The plugin: the journal of workflows on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, Health, Plugin, PositiveDuration, Size, hookimpl
from tta_redis import REDIS
from tta_workflows.journal import JOURNAL

from .journal import RedisJournal


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large a run may be, and how long things are kept, in bytes and seconds; see `RedisJournal`."""

    most_records: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 10_000
    max_size: Annotated[Size, msgspec.Meta(ge=1000, le=256_000_000)] = 16_000_000
    runs: Annotated[int, msgspec.Meta(ge=1, le=10**7)] = 100_000
    unfinished: PositiveDuration = 30 * 86400.0
    quarantine: PositiveDuration = 7 * 86400.0
    sweep: PositiveDuration = 30.0
    poll: PositiveDuration = 5.0
    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0


FIGURES = (
    Figure("workflows.commits", "commits that were stored, by this process", "counter"),
    Figure("workflows.fenced", "commits refused since another process has the run", "counter"),
    Figure("workflows.claimed", "runs taken over by this process", "counter"),
)


class WorkflowsRedis(Plugin[Config]):
    """Runs that outlive their process: any other that shares the Redis finishes them."""

    requires = (REDIS,)
    provides = (JOURNAL,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._journal = RedisJournal(ctx.get(REDIS), **msgspec.structs.asdict(self.config))
        async with self._journal.listening():
            ctx.provide(JOURNAL, self._journal)
            yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._journal.forget(user)

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self._journal.unconfirmed
        return Health("degraded" if unconfirmed else "ok", unconfirmed)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {
            "workflows.commits": self._journal.commits,
            "workflows.fenced": self._journal.fenced,
            "workflows.claimed": self._journal.claimed,
        }
