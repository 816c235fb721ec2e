from __future__ import annotations

from collections.abc import Callable

import pytest

from tta_agents import AGENTS, AgentError, AgentId, AgentsMemory, AgentsPlugin
from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings
from tta_kernel.testing import running
from tta_llm import MODELS
from tta_narrative_generator import Config, In, NarrativeGenerator, Out
from tta_world import Change, Deed, Detail, World

ME = AgentId("narrative-generator")
ChangeOf = Callable[..., Change]
BEAT = Detail("beat", "b", ("One thing. And “another. Thing,” says Ada.\n\nA third.",))


def _kernel(**config: object) -> Kernel:
    settings = KernelSettings(plugins={"narrative-generator": PluginSettings(config=config)})
    plugins = {
        "agents": AgentsPlugin,
        "agents-memory": AgentsMemory,
        "narrative-generator": NarrativeGenerator,
    }
    return Kernel(settings, plugins=plugins)


async def test_the_pieces_arrive_sentence_by_sentence_and_are_the_text(world: World, change_of: ChangeOf) -> None:
    pieces: list[str] = []

    async def keep(piece: str) -> None:
        pieces.append(piece)

    request = In(world, change_of(Deed("wait"), beats=(BEAT,)), seed=1, turn=4)
    async with _kernel() as kernel:
        reply = await kernel.get(AGENTS).call(ME, request, key="1", on_piece=keep)

    assert len(pieces) >= 4
    assert "".join(pieces) == reply.output["text"]


async def test_what_was_told_is_remembered_in_the_world_that_comes_back(world: World, change_of: ChangeOf) -> None:
    change = change_of(Deed("take", thing="apple"))
    async with _kernel() as kernel:
        agents = kernel.get(AGENTS)
        first = (await agents.call(ME, In(world, change), key="1")).decode(Out)
        second = (await agents.call(ME, In(first.world, change), key="2")).decode(Out)

    assert first.world.telling.said
    assert first.text != second.text


async def test_a_step_that_runs_twice_tells_the_same(world: World, change_of: ChangeOf) -> None:
    request = In(world, change_of(Deed("wait")))
    async with _kernel() as kernel:
        agents = kernel.get(AGENTS)
        one = await agents.call(ME, request, key="1")
        other = await agents.call(ME, request, key="2", attempt=2)

    assert one.output == other.output


async def test_config_says_how_much_is_told(world: World, change_of: ChangeOf) -> None:
    deeds = [Deed("feel", feelings=(name,)) for name in ("sadness", "fear", "joy")]
    async with _kernel(max_paragraphs=1) as kernel:
        reply = await kernel.get(AGENTS).call(ME, In(world, change_of(*deeds)), key="1")

    assert "\n\n" not in reply.output["text"]


async def test_a_change_without_its_world_is_a_bad_request(change_of: ChangeOf) -> None:
    async with _kernel() as kernel:
        with pytest.raises(AgentError, match="bad_request"):
            await kernel.get(AGENTS).call(ME, {"change": {}, "world": None}, key="1")


async def test_a_new_config_is_taken_over_without_a_restart() -> None:
    plugin = NarrativeGenerator(Config())

    (await plugin.prepare(Config(max_paragraphs=2)))()

    assert plugin.config.max_paragraphs == 2


@pytest.mark.parametrize(("config", "noted"), [({}, 1), ({"ask": False}, 0)])
def test_a_check_notes_that_a_model_would_tell_the_story(config: dict[str, bool], noted: int) -> None:
    class Backend(Plugin[NoConfig]):
        provides = (MODELS,)

    kernel = running(NarrativeGenerator, AgentsPlugin, AgentsMemory, Backend, config=config)
    kernel.check()
    found = [each for each in kernel.wiring.notes if "docs/safety-card.md" in str(each)]
    assert len(found) == noted
    assert not any("docs/safety-card.md" in str(each) for each in without_models().wiring.notes)


def without_models() -> Kernel:
    kernel = _kernel()
    kernel.check()
    return kernel
