"""The outbox on Redis keeps the contract, on one server and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from tta_notify.testing import OutboxContract, Passing
from tta_notify_redis import RedisOutbox
from tta_redis import Redis, connect
from tta_redis.testing import RedisCluster, cluster


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestOnOneServer(OutboxContract):
    @pytest.fixture
    async def outbox(self, redis: Redis) -> AsyncIterator[RedisOutbox]:
        outbox = RedisOutbox(redis)
        async with outbox.listening():
            yield outbox

    @pytest.fixture
    def small(self, redis: Redis) -> RedisOutbox:
        return RedisOutbox(redis, most=2)

    @pytest.fixture
    def passing(self, redis: Redis) -> Passing:
        return RedisOutbox(redis, retention=1.0), anyio.sleep


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    with cluster(replicas=0) as found:
        yield found


class TestOnACluster(TestOnOneServer):
    @pytest.fixture
    async def redis(self, nodes: RedisCluster) -> AsyncIterator[Redis]:
        async with connect(nodes.config()) as client:
            yield client
