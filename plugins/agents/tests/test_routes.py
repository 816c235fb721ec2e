"""Agents over HTTP: which are alive, where, and how they do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tta_agents import AGENT_REGISTRY, AGENTS, AgentCard, AgentId, AgentsMemory, AgentsPlugin, Statistics
from tta_agents.testing import Echo
from tta_http import HttpPlugin, HttpProblem
from tta_http.testing import Caller
from tta_kernel import Kernel

PLUGINS = {"http": HttpPlugin, "agents": AgentsPlugin, "agents-memory": AgentsMemory}


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    """Run a deployment with an agent here, and one in another process."""
    async with Kernel(plugins=PLUGINS) as kernel:
        statistics = Statistics(calls=9, errors=5)
        card = AgentCard(
            AgentId("far", "b"), process="other", status="degraded", shared=True, statistics=statistics
        )  # fmt: skip
        await kernel.get(AGENT_REGISTRY).register(card)
        async with kernel.get(AGENTS).serve(Echo(), instance="a"):
            yield kernel


async def test_agents_are_listed_by_address(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    answer = await caller.get("/agents")
    of_type = await caller.get("/agents?type=far")

    assert [each["address"] for each in answer["items"]] == ["echo:a", "far:b"]
    assert [each["local"] for each in answer["items"]] == [True, False]
    assert answer["items"][0]["statistics"]["calls"] == 0
    assert [each["address"] for each in of_type["items"]] == ["far:b"]


async def test_one_agent_is_shown_with_its_card(kernel: Kernel) -> None:
    answer = await Caller(kernel.hooks).get("/agents/far:b")

    assert (answer["card"]["status"], answer["statistics"]["errors"]) == ("degraded", 5)


async def test_how_an_agent_does_is_told_once(kernel: Kernel) -> None:
    answer = await Caller(kernel.hooks).get("/agents")
    assert [each["card"]["statistics"] for each in answer["items"]] == [None, None]
    assert [each["statistics"]["calls"] for each in answer["items"]] == [0, 9]


@pytest.mark.parametrize("address", ["nobody", "far:c", "far", ":b"])
async def test_an_agent_that_is_not_alive_is_not_found(kernel: Kernel, address: str) -> None:
    with pytest.raises(HttpProblem, match="not-found"):
        await Caller(kernel.hooks).get(f"/agents/{address}")


async def test_the_living_are_counted(kernel: Kernel) -> None:
    answer = await Caller(kernel.hooks).get("/discovery")

    assert answer["types"] == {"echo": 1, "far": 1}
    assert answer["processes"] == {answer["here"]: 1, "other": 1}
    assert answer["degraded"] == ["far:b"]
