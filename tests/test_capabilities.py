"""The page about capabilities runs, and what it says of scores and constraints is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_agents import AGENT_REGISTRY, CAPABILITIES, AgentCard, AgentId, AgentsPlugin
from tta_agents.memory import MemoryRegistry
from tta_agents.versions import Constraint, version
from tta_kernel import Kernel, KernelSettings, PluginSettings


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
    settings = KernelSettings(plugins={"agents": PluginSettings(config={"discovery": {"strategy": "manual"}})})
    services: dict[Any, object] = {AGENT_REGISTRY: registry}
    async with Kernel(settings, plugins={"agents": AgentsPlugin}, services=services) as kernel:
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
