from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tta_kernel import Health, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_kernel.hookspecs import health, snapshot
from tta_messages import FAILED, MESSAGES, MessagesMemory, MessagesPlugin
from tta_messages.testing import TYPES, note
from tta_messages_redis import RedisMessages, RedisMessagesPlugin
from tta_redis import RedisPlugin
from tta_redis.testing import RedisServer, redis_server

README = Path(__file__).resolve().parents[1] / "README.md"


class Types(Plugin[NoConfig]):
    """Declares what the tests send."""

    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {name: each for name, each in TYPES.items() if name != FAILED}  # That one is declared already.


PLUGINS = {
    "messages": MessagesPlugin, "messages-memory": MessagesMemory, "messages-redis": RedisMessagesPlugin,
    "redis": RedisPlugin, "types": Types,
}  # fmt: skip


def settings(server: RedisServer) -> KernelSettings:
    redis = PluginSettings(config=server.section(prefix=server.config().prefix))
    return KernelSettings(plugins={"redis": redis, "messages-redis": PluginSettings(config={"batch": 5})})


async def test_it_takes_the_place_of_memory(shared_redis: RedisServer) -> None:
    async with Kernel(settings(shared_redis), plugins=PLUGINS) as kernel:
        messages = kernel.get(MESSAGES)
        assert isinstance(messages, RedisMessages)
        await messages.send(note("a", owner="u"))
        seen = (await kernel.ask(snapshot))["messages-redis"]
        assert not isinstance(seen, Exception)
        assert seen["queues"]["q"]["waiting"] == {"high": 0, "normal": 1, "low": 0}


async def test_a_message_outlives_its_kernel(shared_redis: RedisServer) -> None:
    shared = settings(shared_redis)
    async with Kernel(shared, plugins=PLUGINS) as kernel:
        await kernel.get(MESSAGES).send(note("a"))
    async with Kernel(shared, plugins=PLUGINS) as kernel:
        assert len(await kernel.get(MESSAGES).receive("q")) == 1


async def test_its_health_says_that_nothing_can_be_sent() -> None:
    with redis_server(own=True) as server:
        async with Kernel(settings(server), plugins=PLUGINS) as kernel:
            assert (await kernel.get(MESSAGES).send(note("a")))[0].delivered
            healthy = (await kernel.ask(health))["messages-redis"]
            server.command("CONFIG", "SET", "maxmemory", 1)
            ill = (await kernel.ask(health))["messages-redis"]
            assert isinstance(healthy, Health)
            assert isinstance(ill, Health)
            assert (healthy.status, ill.status) == ("ok", "degraded")
            assert "takes no writes: OOM" in ill.detail


def test_the_example_in_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)

    exec(compile(example, "README.md", "exec"), {})
