"""Reviews and rules on Redis keep their contracts, on one server and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from tta_redis import Redis, connect
from tta_redis.testing import RedisCluster, cluster
from tta_safety.rules import RuleSource
from tta_safety.testing import Passing, ReviewsContract, RuleSourceContract
from tta_safety_redis import RedisReviews, RedisRuleSource


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestOnOneServer(ReviewsContract):
    @pytest.fixture
    def reviews(self, redis: Redis) -> RedisReviews:
        return RedisReviews(redis)

    @pytest.fixture
    def small(self, redis: Redis) -> RedisReviews:
        return RedisReviews(redis, most=2)

    @pytest.fixture
    def passing(self, redis: Redis) -> Passing:
        return RedisReviews(redis, keep=1.0), anyio.sleep


class TestRulesOnOneServer(RuleSourceContract):
    @pytest.fixture
    async def sources(self, redis: Redis) -> AsyncIterator[tuple[RuleSource, RuleSource]]:
        one, two = RedisRuleSource(redis, poll=0.1), RedisRuleSource(redis, poll=0.1)
        async with one.listening(), two.listening():
            yield one, two


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    with cluster(replicas=0) as found:
        yield found


class TestOnACluster(TestOnOneServer):
    @pytest.fixture
    async def redis(self, nodes: RedisCluster) -> AsyncIterator[Redis]:
        async with connect(nodes.config()) as client:
            yield client


class TestRulesOnACluster(TestRulesOnOneServer):
    @pytest.fixture
    async def redis(self, nodes: RedisCluster) -> AsyncIterator[Redis]:
        async with connect(nodes.config()) as client:
            yield client
