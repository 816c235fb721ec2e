"""Runs over the journal on Redis keep the contract of workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tta_redis import Redis
from tta_workflows.testing import EntranceContract, FakeAgents, Processes, WorkflowsContract, echo, workflow
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


async def test_a_run_of_n_steps_asks_the_server_n_plus_one_times(redis: Redis) -> None:
    chain = workflow(*({"id": id, "agent": "echo"} for id in "abc"))
    async with Processes(RedisJournal(redis), FakeAgents({"echo": echo})).running(None, w=chain) as workflows:
        await workflows.run("w", {})  # The first one brings the definition and the scripts.
        before = redis.counts()["redis.calls"]
        assert (await workflows.run("w", {})).status == "done"
        assert redis.counts()["redis.calls"] - before == 4


@pytest.mark.anyio
class TestTheEntranceOnRedis(EntranceContract):
    @pytest.fixture
    async def journal(self, redis: Redis) -> AsyncIterator[RedisJournal]:
        journal = RedisJournal(redis)
        async with journal.listening():
            yield journal
