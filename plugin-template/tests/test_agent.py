from __future__ import annotations

import pytest
from tta_agents import AGENTS, AgentError, AgentId, AgentsMemory, AgentsPlugin
from tta_kernel import Kernel
from tta_kernel.testing import problems, running

from tta_example_agent import Config, ExampleAgent, In, Out

ME = AgentId("example-agent")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _kernel(**config: object) -> Kernel:
    return running(ExampleAgent, AgentsPlugin, AgentsMemory, config=config)


async def test_a_kind_sentence_follows_the_text() -> None:
    async with _kernel() as kernel:
        reply = await kernel.get(AGENTS).call(ME, In("The sea is calm."), key="1")

    assert reply.decode(Out).text == f"The sea is calm. {Config().sentence}"


async def test_the_sentence_is_the_configured_one() -> None:
    async with _kernel(sentence="Well done.") as kernel:
        reply = await kernel.get(AGENTS).call(ME, {"text": "You light the lamp."}, key="1")

    assert reply.decode(Out).text == "You light the lamp. Well done."


async def test_a_request_without_text_is_refused() -> None:
    async with _kernel() as kernel:
        with pytest.raises(AgentError) as caught:
            await kernel.get(AGENTS).call(ME, {}, key="1")

    assert caught.value.code == "bad_request"


def test_an_empty_sentence_is_refused_before_anything_starts() -> None:
    [problem] = problems(ExampleAgent, AgentsPlugin, config={"sentence": ""})

    assert problem.startswith("plugins.example-agent.config.sentence: ")


async def test_a_new_config_is_taken_over_without_a_restart() -> None:
    plugin = ExampleAgent(Config())
    commit = await plugin.prepare(Config(sentence="Well done."))

    commit()

    assert plugin.config.sentence == "Well done."
