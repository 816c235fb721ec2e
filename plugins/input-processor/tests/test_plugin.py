from __future__ import annotations

import pytest

from tta_agents import AGENTS, AgentError, AgentId, AgentsMemory, AgentsPlugin
from tta_input_processor import Config, In, InputProcessor, Out
from tta_kernel import Kernel
from tta_kernel.testing import problems, running
from tta_world import World

ME = AgentId("input-processor")


def _kernel(**config: object) -> Kernel:
    return running(InputProcessor, AgentsPlugin, AgentsMemory, config=config)


async def test_a_text_becomes_an_intent(world: World) -> None:
    async with _kernel() as kernel:
        reply = await kernel.get(AGENTS).call(ME, In("take the lantern", world), key="1")

    intent = reply.decode(Out).intent
    assert (intent.name, intent.slots["thing"].id) == ("take", "storm-lantern")


async def test_the_request_may_be_a_mapping_without_a_world() -> None:
    async with _kernel() as kernel:
        request = {"text": "I walk to the lighthouse", "world": None, "unheard_of": 1}
        reply = await kernel.get(AGENTS).call(ME, request, key="1")

    assert reply.output["intent"]["name"] == "go"


async def test_config_reaches_the_agent(world: World) -> None:
    async with _kernel(threshold=0.99, max_commands=1) as kernel:
        agents = kernel.get(AGENTS)
        reply = await agents.call(ME, In("take the unicorn", world), key="1")
        cut = await agents.call(ME, In("north. south. east.", world), key="2")

    assert reply.decode(Out).intent.name == "unclear"
    assert len(cut.decode(Out).intent.commands) == 1


async def test_a_request_without_text_is_refused_without_repeating_it() -> None:
    async with _kernel() as kernel:
        with pytest.raises(AgentError) as caught:
            await kernel.get(AGENTS).call(ME, {"text": ["secret"]}, key="1")

    assert caught.value.code == "bad_request"
    assert "secret" not in str(caught.value)


def test_config_out_of_bounds_is_refused_before_anything_starts() -> None:
    [problem] = problems(InputProcessor, AgentsPlugin, config={"max_commands": 99})
    assert problem.startswith("plugins.input-processor.config.max_commands: expected int <=")


async def test_a_new_config_is_taken_over_without_a_restart(world: World) -> None:
    plugin = InputProcessor(Config())
    commit = await plugin.prepare(Config(threshold=0.9))

    commit()

    assert plugin.config.threshold == 0.9
