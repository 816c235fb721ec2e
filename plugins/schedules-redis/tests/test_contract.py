"""The store on Redis keeps the contract, on one server and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from tta_redis import Redis
from tta_redis.testing import OnACluster
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


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""
