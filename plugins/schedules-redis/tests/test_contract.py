"""The store on Redis keeps the contract, on one server and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from tta_redis import Redis, connect
from tta_redis.testing import RedisCluster, cluster
from tta_schedules.testing import Passing, ScheduleStoreContract
from tta_schedules_redis import RedisScheduleStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestOnOneServer(ScheduleStoreContract):
    @pytest.fixture
    async def store(self, redis: Redis) -> AsyncIterator[RedisScheduleStore]:
        store = RedisScheduleStore(redis)
        async with store.listening():
            yield store

    @pytest.fixture
    def small(self, redis: Redis) -> RedisScheduleStore:
        return RedisScheduleStore(redis, most=2, history=3)

    @pytest.fixture
    def passing(self, redis: Redis) -> Passing:
        return RedisScheduleStore(redis, ended=1.0), anyio.sleep


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    with cluster(replicas=0) as found:
        yield found


class TestOnACluster(TestOnOneServer):
    @pytest.fixture
    async def redis(self, nodes: RedisCluster) -> AsyncIterator[Redis]:
        async with connect(nodes.config()) as client:
            yield client
