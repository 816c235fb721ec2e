"""The plugin as a deployment has it."""

from __future__ import annotations

import pytest

from tta_kernel import Health, Kernel, KernelSettings, PluginSettings
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems
from tta_redis import RedisPlugin
from tta_redis.testing import RedisServer, redis_server
from tta_workflows.journal import JOURNAL, Commit, JournalError, RunHead
from tta_workflows.records import Ended, Started
from tta_workflows_redis import WorkflowsRedis


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> object:
    with redis_server() as found:
        yield found


def kernel(server: RedisServer, **config: object) -> Kernel:
    settings = KernelSettings(
        plugins={
            "redis": PluginSettings(config=server.section()),
            "workflows-redis": PluginSettings(config=config),
        }
    )
    return Kernel(settings, plugins={"redis": RedisPlugin, "workflows-redis": WorkflowsRedis})


async def health_of(kernel: Kernel) -> Health:
    found = (await kernel.hooks.ask(health))["workflows-redis"]
    assert isinstance(found, Health)
    return found


async def test_what_one_process_began_another_ends(server: RedisServer) -> None:
    async with kernel(server) as one:
        journal = one.get(JOURNAL)
        lease = await journal.join("one", 60.0)
        await journal.create(lease, RunHead("r", "turn", "d", 1.0, owner="u"))
        await journal.commit(lease, Commit("r", 1, (Started(at=1.0, step="a"),), "running"))
        await journal.leave(lease)
    async with kernel(server) as two:
        journal = two.get(JOURNAL)
        lease = await journal.join("two", 60.0)
        assert list(await journal.claim(lease, 10)) == ["r"]
        await journal.commit(lease, Commit("r", 1, (Ended(at=2.0, status="done"),), "done"))
        await journal.release(lease, "r", content=60.0, summary=60.0)
        figures = (await two.hooks.ask(snapshot))["workflows-redis"]
        assert (await health_of(two)).status == "ok"
    assert figures == {
        "workflows.commits": 1, "workflows.fenced": 0, "workflows.claimed": 1,
    }  # fmt: skip


async def test_a_commit_that_too_few_replicas_have_is_stored_and_degrades_the_health(server: RedisServer) -> None:
    async with kernel(server, wait_replicas=1, wait_timeout="50ms") as one:
        journal = one.get(JOURNAL)
        lease = await journal.join("one", 60.0)
        await journal.create(lease, RunHead("replicated", "turn", "d", 1.0))
        found = await health_of(one)
        assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")
        assert await journal.read("replicated") is not None


async def test_forgetting_that_too_few_replicas_have_confirmed_is_no_forgetting(server: RedisServer) -> None:
    async with kernel(server, wait_replicas=1, wait_timeout="50ms") as one:
        journal = one.get(JOURNAL)
        lease = await journal.join("one", 60.0)
        await journal.create(lease, RunHead("theirs", "turn", "d", 1.0, owner="v"))
        for forgotten in (1, 0):
            with pytest.raises(JournalError, match=f"{forgotten} runs are forgotten, but 0 of 1 replicas"):
                await journal.forget("v")
        assert await journal.read("theirs") is None


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem, *_] = problems(WorkflowsRedis, config={"colour": "blue"})

    assert problem.startswith("plugins.workflows-redis.config.colour: ")
