"""The examples of docs/tools.md: a plugin that brings a tool, and an agent that calls it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_agents import AGENTS, AgentId, AgentsMemory, AgentsPlugin
from tta_kernel import NoConfig, Plugin, hookimpl
from tta_safety import Verdict
from tta_tools import TOOLS
from tta_tools.testing import deployment

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_agent_calls_the_tool_of_the_page() -> None:
    given: dict[str, Any] = {"__name__": "tides"}
    for example in re.findall(r"```python\n(.*?)```", (DOCS / "tools.md").read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(example, "tools.md", "exec"), given)
    plugins: dict[str, Any] = {"agents": AgentsPlugin, "agents-memory": AgentsMemory}
    plugins |= {"tides": given["Tides"], "harbour": given["Harbour"]}
    async with deployment(more=plugins) as kernel:
        reply = await kernel.get(AGENTS).call(AgentId("harbour"), given["Asked"](8), key="k", session="s", owner="anna")
    assert reply.output == {"text": "The sea stands at 1.0 metres."}


async def test_a_plugin_brings_the_tool_of_the_page_on_plugins() -> None:
    page = (DOCS / "writing-a-plugin.md").read_text(encoding="utf-8")
    section = page.partition("\n### Bring a tool\n")[2]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example is not None
    given: dict[str, Any] = {"__name__": "kind"}
    exec(compile(example[1], "writing-a-plugin.md", "exec"), given)

    class Checking(Plugin[NoConfig]):
        @hookimpl
        async def check_text(self, text: str) -> Verdict:
            return Verdict("checked", "safe")

    async with deployment(more={"kind": given["KindTools"], "checking": Checking}) as kernel:
        done = await kernel.get(TOOLS).run("words.kind", {"name": "Bo"})
    assert done.value == "Bo, take all the time you need."
