"""The journal on Redis keeps the contract, on one server and on a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from tta_redis import Redis
from tta_redis.testing import OnACluster
from tta_workflows.testing import JournalContract, Passing
from tta_workflows_redis import RedisJournal


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
class TestOnOneServer(JournalContract):
    @pytest.fixture
    async def journal(self, redis: Redis) -> AsyncIterator[RedisJournal]:
        journal = RedisJournal(redis)
        async with journal.listening():
            yield journal

    @pytest.fixture
    def small(self, redis: Redis) -> RedisJournal:
        return RedisJournal(redis, max_size=30_000)

    @pytest.fixture
    def passing(self, redis: Redis) -> Passing:
        return RedisJournal(redis), anyio.sleep


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""
