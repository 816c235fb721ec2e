"""The examples of docs/tools.md: a plugin that brings a tool, and an agent that calls it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_agents import AGENTS, AgentId, AgentsMemory, AgentsPlugin
from tta_tools.testing import deployment

PAGE = Path(__file__).resolve().parents[3] / "docs" / "tools.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_agent_calls_the_tool_of_the_page() -> None:
    given: dict[str, Any] = {"__name__": "tides"}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(example, "tools.md", "exec"), given)
    plugins: dict[str, Any] = {"agents": AgentsPlugin, "agents-memory": AgentsMemory}
    plugins |= {"tides": given["Tides"], "harbour": given["Harbour"]}
    async with deployment(more=plugins) as kernel:
        reply = await kernel.get(AGENTS).call(AgentId("harbour"), given["Asked"](8), key="k", session="s", owner="anna")
    assert reply.output == {"text": "The sea stands at 1.0 metres."}
