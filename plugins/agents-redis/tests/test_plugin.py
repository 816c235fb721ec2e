from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENT_REPLIES,
    AgentCard,
    AgentId,
    AgentsMemory,
    AgentsPlugin,
    AgentStatusChanged,
    Report,
)
from tta_agents.testing.echo import eventually
from tta_agents_redis import AgentsRedis, Config
from tta_kernel import ConfigError, Kernel, KernelSettings, Plugin, PluginSettings
from tta_kernel.hookspecs import snapshot
from tta_redis import REDIS, Redis, connect
from tta_redis.testing import redis_server

PLUGINS: dict[str, type[Plugin[Any]]] = {
    "agents": AgentsPlugin,
    "agents-memory": AgentsMemory,
    "agents-redis": AgentsRedis,
}


def kernel_on(redis: Redis, **config: Any) -> Kernel:
    settings = KernelSettings(plugins={"agents-redis": PluginSettings(config=config)})
    return Kernel(settings, plugins=PLUGINS, services={REDIS: redis})


async def test_memory_yields_to_redis(redis: Redis) -> None:
    async with kernel_on(redis) as kernel:
        assert kernel.records["agents-memory"].state == "yielding"
        assert kernel.get(AGENT_REPLIES) is not None
        assert (await kernel.health())["agents-redis"].status == "ok"


async def test_the_snapshot_tells_local_from_remote_and_what_was_quarantined(redis: Redis) -> None:
    async with kernel_on(redis) as here, kernel_on(redis) as there:
        await here.get(AGENT_REGISTRY).register(AgentCard(AgentId("a", "1"), process="p", shared=True))
        await there.get(AGENT_REGISTRY).register(AgentCard(AgentId("b", "1"), process="q", shared=True))
        await redis.execute("HSET", redis.key("agents", "cards", tag="agents"), "b/1", "nonsense")
        await here.ask(snapshot)
        await there.get(AGENT_REGISTRY).register(AgentCard(AgentId("b", "1"), process="q", shared=True))
        seen: Any = (await here.ask(snapshot))["agents-redis"]
    assert [card["id"]["type"] for card in seen["local"]] == ["a"]
    assert [card["id"]["type"] for card in seen["remote"]] == ["b"]
    assert [note["where"] for note in seen["quarantined"]] == ["b/1"]
    assert msgspec.json.encode(seen)


async def test_health_is_degraded_while_redis_is_away_and_where_a_name_is_another_s() -> None:
    card = AgentCard(AgentId("a", "1"), process="p", shared=True)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis_server(own=True))
        redis = await stack.enter_async_context(connect(server.config(command_timeout=0.3)))
        here = await stack.enter_async_context(kernel_on(redis, ttl="3s", interval="50ms"))
        there = await stack.enter_async_context(kernel_on(redis))
        await here.get(AGENT_REGISTRY).register(card)
        await there.get(AGENT_REGISTRY).register(msgspec.structs.replace(card, process="q"))
        assert "under the same names: a:1" in await health(here, "degraded")
        await there.get(AGENT_REGISTRY).deregister(card.id)
        await health(here, "ok")
        server.kill()
        assert "not announced" in await health(here, "degraded")
        server.restart()
        await health(here, "ok")


async def health(kernel: Kernel, wanted: str) -> str:
    async def as_wanted() -> bool:
        return (await kernel.health())["agents-redis"].status == wanted

    await eventually(as_wanted)
    return (await kernel.health())["agents-redis"].detail


async def test_that_an_agent_is_degraded_is_told_before_its_heart_beats_again(redis: Redis) -> None:
    ill = AgentCard(AgentId("a", "1"), status="degraded", process="p", shared=True)
    async with kernel_on(redis, ttl="5m") as here, kernel_on(redis) as there:
        card = msgspec.structs.replace(ill, status="idle")
        await here.get(AGENT_REGISTRY).register(card, lambda: Report(card))
        card = ill
        here.events.publish(AgentStatusChanged(agent=ill.id, before="idle", after="degraded"))

        async def left_out() -> bool:
            return not await there.get(AGENT_REGISTRY).discover()

        await eventually(left_out)


@pytest.mark.parametrize("config", [{"ttl": "10ms"}, {"ttl": "1s", "interval": "1s"}, {"ttl": "1s", "interval": 0}])
async def test_a_heart_that_could_not_keep_up_is_refused(redis: Redis, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        kernel_on(redis, **config)
    assert Config().ttl == 30.0


@pytest.mark.parametrize("key", ["ttl", "state_ttl", "quarantine"])
@pytest.mark.parametrize("time", [0, float("inf"), 1e18])
async def test_a_time_that_no_server_can_keep_is_refused(redis: Redis, key: str, time: float) -> None:
    with pytest.raises(ConfigError, match=key):
        kernel_on(redis, **{key: time})
