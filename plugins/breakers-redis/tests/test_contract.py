"""The store on Redis keeps the contract, on one server and on a Cluster."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from tta_breakers import BreakerStore
from tta_breakers.testing import SharedBreakerStoreContract
from tta_breakers_redis import RedisBreakerStore
from tta_kernel.testing import Shared
from tta_redis import Redis, connect
from tta_redis.config import Config
from tta_redis.testing import OnACluster

LOG = logging.getLogger("tta.breakers-redis")


@asynccontextmanager
async def on_redis(config: str) -> AsyncIterator[BreakerStore]:
    async with (
        connect(msgspec.json.decode(config, type=Config)) as redis,
        anyio.create_task_group() as tasks,
    ):
        store = RedisBreakerStore(redis, LOG)
        tasks.start_soon(store.listen)
        yield store
        tasks.cancel_scope.cancel()


class TestOnOneServer(SharedBreakerStoreContract):
    @pytest.fixture
    def shared(self, redis: Redis) -> Shared[BreakerStore]:
        return Shared(on_redis, (msgspec.json.encode(redis.config).decode(),))

    @pytest.fixture
    async def store(self, shared: Shared[BreakerStore]) -> AsyncIterator[BreakerStore]:
        async with shared.again() as store:
            yield store


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""
