"""The page about capabilities runs, what it says of constraints is so, and other processes are found, too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENTS,
    AgentCard,
    AgentId,
    AgentsPlugin,
    Capability,
)
from tta_agents.memory import MemoryRegistry
from tta_agents.testing import Echo
from tta_agents.testing.echo import eventually
from tta_agents_redis import AgentsRedis
from tta_capabilities import CAPABILITIES, CapabilitiesPlugin, MatchCriteria, MatchResult
from tta_capabilities.versions import Constraint, version
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_messages import MessagesMemory, MessagesPlugin
from tta_redis import RedisPlugin
from tta_redis.testing import redis_server


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/capabilities.md").read_text(encoding="utf-8")


class Text(msgspec.Struct, frozen=True):
    text: str


async def test_what_is_declared_is_found(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"Ask": Text, "Told": Text}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "capabilities.md", "exec"), names)
    spec, registry = names["SPEC"], MemoryRegistry()
    for instance, running in (("busy", 5), ("free", 1)):
        await registry.register(
            AgentCard(AgentId(spec.type, instance), spec.description, spec.capabilities, running=running, limit=10)
        )
    settings = KernelSettings(plugins={"capabilities": PluginSettings(config={"strategy": "manual"})})
    services: dict[Any, object] = {AGENT_REGISTRY: registry}
    plugins: dict[str, Any] = {"agents": AgentsPlugin, "capabilities": CapabilitiesPlugin}
    async with Kernel(settings, plugins=plugins, services=services) as kernel:
        await kernel.get(CAPABILITIES).refresh()
        found = await names["find"](kernel)
    assert capsys.readouterr().out == "teller:free 0.96 0.1\nteller:busy 0.96 0.5\n"
    assert [each.agent_id.instance for each in found.matches] == ["free", "busy"]


def test_the_constraints_admit_what_the_page_says() -> None:
    admitted = {
        ">=1.2,<2": ("1.2.0 1.10.0", "2.0.0 2.0.0-rc.1"),
        "1.2": ("1.2.0 1.2.9", "1.3.0"),
        ">1.2": ("1.3.0", "1.2.9"),
        "^1.2": ("1.9.9", "2.0.0"),
        "^0.2.3": ("0.2.9", "0.3.0"),
        "~1.2.3": ("1.2.9", "1.3.0"),
        "!=1.9.0": ("1.9.1", "1.9.0"),
    }
    for text, (inside, outside) in admitted.items():
        assert all(version(each) in Constraint(text) for each in inside.split())
        assert not any(version(each) in Constraint(text) for each in outside.split())


STORY = Capability("story", version="1.10.0", tags=frozenset("ab"), metadata={"x": [1]})


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_agent_of_another_kernel_is_found_on_redis_before_and_after_a_restart() -> None:
    plugins: dict[str, Any] = {
        "redis": RedisPlugin, "agents": AgentsPlugin, "agents-redis": AgentsRedis,
        "messages": MessagesPlugin, "messages-memory": MessagesMemory, "capabilities": CapabilitiesPlugin,
    }  # fmt: skip

    async def count(kernel: Kernel, wanted: int) -> list[Capability]:
        criteria = MatchCriteria(capability_name="story", version=">=1.9,<2", required_tags=frozenset("a"))
        found: Sequence[MatchResult] = ()

        async def as_many() -> bool:
            nonlocal found
            found = await kernel.get(CAPABILITIES).match(criteria)
            return len(found) == wanted

        await eventually(as_many)
        return [each.capability for each in found]

    with redis_server() as server:
        settings = KernelSettings(
            plugins={
                "redis": PluginSettings(config=msgspec.to_builtins(server.config())),
                "agents": PluginSettings(config={"auto_register": True}),
                "capabilities": PluginSettings(config={"interval": 0.05}),
            }
        )
        teller = Echo(type="teller", capabilities=[STORY])
        async with Kernel(settings, plugins=plugins) as serving:
            async with serving.get(AGENTS).serve(teller):
                for _ in range(2):
                    async with Kernel(settings, plugins=plugins) as asking:
                        assert await count(asking, 1) == [STORY]
            async with (
                Kernel(settings, plugins=plugins) as asking,
                serving.get(AGENTS).serve(teller),
            ):
                await count(asking, 1)
            await count(serving, 0)
