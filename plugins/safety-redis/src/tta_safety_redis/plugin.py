"""The plugin: reviews, and a layer of rules, on a Redis that several processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_kernel import Context, Figure, PositiveDuration, Size, hookimpl
from tta_redis import REDIS, StoreConfig, StorePlugin
from tta_safety import REVIEWS
from tta_safety.reviews import LARGEST
from tta_safety.rules import RULES

from .reviews import RedisReviews
from .rules import RedisRuleSource


class Config(StoreConfig, frozen=True, forbid_unknown_fields=True):
    """How many reviews there may be, of how many bytes in all, for how many seconds; and of the shared rules.

    ``rules_size``: how many bytes these may have; ``rules_poll``: after how many seconds they are looked at, at latest.
    """

    most: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 10_000
    size: Annotated[Size, msgspec.Meta(ge=LARGEST, le=2**40)] = 64 * 2**20
    keep: PositiveDuration = 7 * 86400.0
    rules_size: Annotated[Size, msgspec.Meta(ge=1, le=16 * 2**20)] = 1_000_000
    rules_poll: PositiveDuration = 10.0


FIGURES = (
    Figure("safety.reviews", "texts kept from players that wait for a human"),
    Figure("safety.reviews_added", "texts that this process has kept from players, and stored", "counter"),
)


class SafetyRedis(StorePlugin[Config]):
    """What was kept from players outlives its process, and rules that one process writes count in all."""

    provides = (REVIEWS, RULES)
    store: RedisReviews

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        redis, config = ctx.get(REDIS), self.config
        self.store = RedisReviews(
            redis, most=config.most, size=config.size, keep=config.keep, wait_replicas=config.wait_replicas,
            wait_timeout=config.wait_timeout,
        )  # fmt: skip
        rules = RedisRuleSource(redis, size=config.rules_size, poll=config.rules_poll)
        async with rules.listening():
            ctx.provide(REVIEWS, self.store)
            ctx.provide(RULES, rules)
            yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"safety.reviews": await self.store.count(), "safety.reviews_added": self.store.added}
