"""Runs over the journal on Redis keep the contract of workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tta_redis import Redis
from tta_workflows.testing import WorkflowsContract
from tta_workflows_redis import RedisJournal


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
class TestOnRedis(WorkflowsContract):
    @pytest.fixture
    async def journal(self, redis: Redis) -> AsyncIterator[RedisJournal]:
        journal = RedisJournal(redis)
        async with journal.listening():
            yield journal
