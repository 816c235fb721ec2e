from __future__ import annotations

import msgspec
import pytest

from tta_agents import AGENTS, AgentError, AgentId, AgentsMemory, AgentsPlugin
from tta_kernel import Kernel
from tta_kernel.testing import problems, running
from tta_world import Entity, Intent
from tta_world_builder import Config, In, Out, WorldBuilder, new_world

ME = AgentId("world-builder")
WEST = Intent("go", slots={"direction": Entity("west", "direction", "west")})


def _kernel(**config: object) -> Kernel:
    return running(WorldBuilder, AgentsPlugin, AgentsMemory, config=config)


async def test_without_a_world_a_new_one_of_the_seed_is_made_and_gone_on_with() -> None:
    async with _kernel() as kernel:
        agents = kernel.get(AGENTS)
        first = await agents.call(ME, In(WEST, seed=7), key="1")
        request = {"intent": msgspec.to_builtins(WEST), "world": first.output["world"]}
        second = await agents.call(ME, request, key="2")

    assert first.decode(Out).world.seed == 7
    assert first.decode(Out).world.player.at == "green"
    assert second.decode(Out).world.player.at == "harbour"
    assert second.output["change"]["deeds"]


async def test_without_an_intent_the_world_is_shown_and_nothing_happens_in_it() -> None:
    async with _kernel() as kernel:
        reply = await kernel.get(AGENTS).call(ME, {"seed": 7}, key="1")

    assert reply.decode(Out).world == new_world(7)
    assert reply.decode(Out).change.deeds == ()


async def test_the_same_call_twice_does_no_harm() -> None:
    request = In(WEST, new_world(1))
    async with _kernel() as kernel:
        agents = kernel.get(AGENTS)
        one = await agents.call(ME, request, key="1")
        other = await agents.call(ME, request, key="2", attempt=2)

    assert one.output == other.output


async def test_a_world_of_an_unknown_story_is_an_error_of_its_own() -> None:
    world = msgspec.structs.replace(new_world(1), story="lost")
    async with _kernel() as kernel:
        with pytest.raises(AgentError) as caught:
            await kernel.get(AGENTS).call(ME, In(WEST, world), key="1")

    assert (caught.value.code, caught.value.retryable) == ("unknown_story", False)


async def test_a_world_that_contradicts_itself_is_a_bad_request() -> None:
    world = msgspec.to_builtins(new_world(1))
    world["player"]["at"] = "nowhere-at-all"
    request = {"intent": msgspec.to_builtins(WEST), "world": world}
    async with _kernel() as kernel:
        with pytest.raises(AgentError) as caught:
            await kernel.get(AGENTS).call(ME, request, key="1")

    assert caught.value.code == "bad_request"


def test_a_story_that_is_not_shipped_is_found_before_the_start() -> None:
    [problem] = problems(WorldBuilder, AgentsPlugin, config={"story": "atlantis"})
    assert "isn't shipped" in problem


async def test_a_reload_to_a_story_that_is_not_shipped_is_objected_to() -> None:
    plugin = WorldBuilder(Config())

    with pytest.raises(ValueError, match="atlantis"):
        await plugin.prepare(Config(story="atlantis"))
    (await plugin.prepare(Config(story="coast")))()
    assert plugin.config.story == "coast"
