from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from tta_agents import AgentCard, AgentDeregistered, AgentId, AgentRegistered
from tta_agents.testing import AgentRegistryContract, RepliesContract
from tta_agents_redis import RedisRegistry, RedisReplies, Store
from tta_kernel import Event
from tta_kernel.testing import until
from tta_redis import Redis, connect
from tta_redis.testing import RedisCluster, cluster

LOG = logging.getLogger("test")


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    with cluster(masters=3, replicas=0) as found:
        yield found


@pytest.fixture
async def redis(nodes: RedisCluster) -> AsyncIterator[Redis]:
    async with connect(nodes.config()) as found:
        yield found


def registry_on(redis: Redis, events: list[Event] | None = None) -> RedisRegistry:
    store = Store(redis, ttl=30.0, state_ttl=60.0, quarantine=60.0)
    publish = (lambda event: None) if events is None else events.append
    return RedisRegistry(redis, store, LOG, publish, interval=0.2, max_state=100)


class TestRegistryOnACluster(AgentRegistryContract):
    @pytest.fixture
    def registry(self, redis: Redis) -> RedisRegistry:
        return registry_on(redis)


class TestRepliesOnACluster(RepliesContract):
    @pytest.fixture
    def replies(self, redis: Redis) -> RedisReplies:
        return RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)


async def test_other_processes_are_seen_on_a_cluster(redis: Redis) -> None:
    events: list[Event] = []
    here, there = registry_on(redis), registry_on(redis, events)
    id = AgentId("a", "1")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.watch)
            await there.watching.wait()
            await here.register(AgentCard(id, process="p", shared=True))
            await until(lambda: len(events) == 1)
            await here.deregister(id)
            await until(lambda: len(events) == 2)
            tasks.cancel_scope.cancel()
    assert [type(event) for event in events] == [AgentRegistered, AgentDeregistered]


async def test_a_foreign_reply_is_quarantined_on_a_cluster(redis: Redis) -> None:
    replies = RedisReplies(redis, LOG, max_size=10_000, quarantine=60.0)
    key = redis.key("agents", "reply", "a", "k", tag="a/k")
    await redis.execute("LPUSH", key, "x")
    assert await replies.get("a", "k") is None
    assert await redis.execute("TYPE", f"{key}:quarantined") == b"list"
