from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tta_agents import AGENT_REGISTRY, AgentCard, AgentId, AgentsMemory, AgentsPlugin, Capability, RegistryError
from tta_agents.commands import add
from tta_agents.memory import MemoryRegistry
from tta_kernel import Kernel
from tta_program import Subcommands


class Registry:
    """A registry that isn't this process's own memory."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry, self.away = registry, False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise RegistryError("connection refused")
        return getattr(self._registry, name)


async def run(argv: Sequence[str], registry: Any) -> int:
    parser = argparse.ArgumentParser()
    add(Subcommands(parser))
    options = parser.parse_args(["agents", *argv])
    async with Kernel(plugins={}, services={AGENT_REGISTRY: registry}) as kernel:
        return int(await options.command.run(kernel, options))


@pytest.fixture
async def registry() -> Registry:
    memory = MemoryRegistry()
    await memory.register(
        AgentCard(
            AgentId("poet", "one"),
            "writes",
            (Capability("rhyme", version="1.2.0"),),
            "busy",
            12.0,
            "p",
            shared=True,
            running=1,
            limit=4,
            timeout=2.0,
            resources={"gpu": 1},
            seen_at=13.0,
        )
    )
    await memory.register(AgentCard(AgentId("reader", "two"), shared=True))
    return Registry(memory)


async def test_list_shows_who_is_alive(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(["list"], registry) == 0
    heading, poet, reader = capsys.readouterr().out.splitlines()
    assert heading.split() == ["AGENT", "STATUS", "LOAD", "SEEN", "PROCESS", "CAPABILITIES"]
    assert poet.split() == ["poet:one", "busy", "1/4", "1970-01-01T00:00:13Z", "p", "rhyme", "1.2.0"]
    assert reader.startswith("reader:two")


async def test_list_can_be_of_one_type_and_json(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(["list", "reader", "--json"], registry) == 0
    [card] = msgspec.json.decode(capsys.readouterr().out, type=list[AgentCard])
    assert card.id == AgentId("reader", "two")


async def test_show_tells_all_of_one(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(["show", "poet:one"], registry) == 0
    shown = capsys.readouterr().out
    assert "resource gpu" in shown
    assert "rhyme" in shown
    assert await run(["show", "poet:one", "--json"], registry) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["limit"] == 4


@pytest.mark.parametrize(("address", "code"), [("poet:two", 1), ("poet", 2)])
async def test_an_agent_that_is_not_there_is_found_wanting(registry: Registry, address: str, code: int) -> None:
    assert await run(["show", address], registry) == code


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("list", "poets"), "no agent of the type 'poets' is alive; did you mean 'poet'?"),
        (("list", "xyz"), "no agent of the type 'xyz' is alive; known: poet, reader"),
        (("show", "poet"), "an agent's address reads TYPE:INSTANCE; there are: poet:one"),
        (("show", "poet:on"), "no agent poet:on is alive; did you mean 'poet:one'?"),
        (("show", "xyz"), "an agent's address reads TYPE:INSTANCE"),
    ],
    ids=" ".join,
)
async def test_whoever_asks_for_one_that_is_not_there_hears_of_those_that_are(
    registry: Registry, words: Sequence[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(words, registry) != 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"tta agents: {hint}\n")


async def test_nobody_served_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(["list"], Registry(MemoryRegistry())) == 0
    assert "no agent is served" in capsys.readouterr().err


async def test_a_registry_that_is_away_is_said(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.away = True
    assert await run(["list"], registry) == 1
    assert "can't be used" in capsys.readouterr().err


async def test_the_memory_of_another_process_cannot_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(["list"], MemoryRegistry()) == 1
    assert "in memory" in capsys.readouterr().err


def test_the_commands_are_the_plugin_s() -> None:
    kernel = Kernel(plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory})
    parser = argparse.ArgumentParser()
    kernel.records["agents"].plugin.register_commands(Subcommands(parser))  # type: ignore[union-attr]
    assert parser.parse_args(["agents", "list"]).command.requires == (AGENT_REGISTRY,)


@pytest.mark.parametrize(
    "argv", [["list"], ["list", "odd"], ["show", "odd"], ["show", "odd:x"], ["show", "odd:\x1b[2J"]]
)
async def test_no_command_shows_a_terminal_what_it_would_obey(
    registry: Registry, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    await registry.register(AgentCard(AgentId("odd", "\x1b[2J"), "\x1b[2J", process="\x1b[2J", shared=True))
    await run(argv, registry)
    told = capsys.readouterr()
    assert "[2J" in told.out + told.err
    assert "\x1b" not in told.out + told.err
