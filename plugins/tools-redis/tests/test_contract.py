"""The store on Redis keeps the contract, on one server and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from tta_redis import Redis, connect
from tta_redis.testing import RedisCluster, cluster
from tta_tools.testing import Passing, ToolStoreContract
from tta_tools_redis import RedisToolStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestOnOneServer(ToolStoreContract):
    @pytest.fixture
    async def store(self, redis: Redis) -> AsyncIterator[RedisToolStore]:
        store = RedisToolStore(redis, poll=0.2)
        async with store.listening():
            yield store

    @pytest.fixture
    def small(self, redis: Redis) -> RedisToolStore:
        return RedisToolStore(redis, most=2, size=1000)

    @pytest.fixture
    def passing(self, redis: Redis) -> Passing:
        return RedisToolStore(redis), anyio.sleep


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    with cluster(replicas=0) as found:
        yield found


class TestOnACluster(TestOnOneServer):
    @pytest.fixture
    async def redis(self, nodes: RedisCluster) -> AsyncIterator[Redis]:
        async with connect(nodes.config()) as client:
            yield client
