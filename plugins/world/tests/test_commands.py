"""``tta world …``: worlds are shown by sizes, carried elsewhere and back, and sessions' are brought into the store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import msgspec
import pytest

from tta_http import HttpPlugin, HttpProblem
from tta_http.testing import Caller
from tta_kernel import Kernel
from tta_kernel.testing import running
from tta_program import Subcommands
from tta_sessions import SESSIONS, Session, SessionsMemory, SessionsPlugin
from tta_world import WORLD, WorldMemory, WorldPlugin, WorldStore, commands, diff
from tta_world.memory import MemoryWorlds
from tta_world.store import same
from tta_world.testing import some_world

WORLD_OF_ANNE = some_world()


class Durable(MemoryWorlds):
    """Stands for a store that outlives its process."""

    durable = True

    def __init__(self) -> None:
        super().__init__(lambda: 1_790_000_000.0, ttl=1000.0, limit=10, max_size=100_000)


@pytest.fixture
async def worlds() -> Durable:
    store = Durable()
    later = msgspec.structs.replace(WORLD_OF_ANNE, turn=1)
    await store.apply("s", 0, diff(None, WORLD_OF_ANNE), "t1", owner="anna")
    await store.apply("s", 1, diff(WORLD_OF_ANNE, later), "t2", owner="anna")
    return store


def kernel_with(worlds: WorldStore) -> Kernel:
    return running(WorldPlugin, SessionsPlugin, SessionsMemory, services={WORLD: worlds})


async def tta(kernel: Kernel, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["world", *words])
    return int(await options.command.run(kernel, options))


async def test_a_world_is_shown_by_version_and_sizes_without_what_is_in_it(
    worlds: Durable, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_with(worlds) as kernel:
        assert await tta(kernel, "show", "s") == 0
        text = capsys.readouterr().out
        assert await tta(kernel, "show", "s", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert await tta(kernel, "show", "nobody") == 1
    assert (shown["version"], shown["owner"], shown["kept"], shown["entities"]["place"]) == (2, "anna", [1, 2], 5)
    assert [line.split() for line in text.splitlines()][-1][::2] == ["2", "1"]
    assert "nne" not in text.replace("anna", "")


async def test_what_was_exported_is_imported_elsewhere_with_what_led_to_it(
    worlds: Durable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, other = tmp_path / "world.json", Durable()
    async with kernel_with(worlds) as kernel:
        assert await tta(kernel, "export", "s") == 0
    file.write_text(capsys.readouterr().out)
    async with kernel_with(other) as kernel:
        assert await tta(kernel, "import", str(file)) == 0
    assert await other.snapshot("s") == await worlds.snapshot("s")


async def test_an_older_world_is_imported_only_over_what_is_there(
    worlds: Durable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "world.json"
    async with kernel_with(worlds) as kernel:
        assert await tta(kernel, "export", "s", "--version", "1") == 0
        file.write_text(capsys.readouterr().out)
        assert await tta(kernel, "export", "s", "--version", "9") == 1
        assert await tta(kernel, "import", str(file)) == 1
        assert "--over" in capsys.readouterr().err
        assert await tta(kernel, "import", "--over", str(file)) == 0
        found = await worlds.get("s")
        assert found is not None
        assert (found.head.version, same(found.world, WORLD_OF_ANNE)) == (3, True)
        for wrong in ("{", '{"head": {"session": "s"}}'):
            file.write_text(wrong)
            assert await tta(kernel, "import", str(file)) == 1
        assert await tta(kernel, "import", str(tmp_path / "nothing")) == 1


async def test_migrate_brings_both_to_the_later_world(worlds: Durable, capsys: pytest.CaptureFixture[str]) -> None:
    rainy = msgspec.to_builtins(some_world(weather="rainy"))
    contexts = {
        "s": {"world": rainy, "world_version": 1},
        "old": {"world": rainy},
        "new": {"turn": 1},
        "odd": {"world": 7},
    }
    async with kernel_with(worlds) as kernel:
        sessions = kernel.get(SESSIONS)
        for name, context in contexts.items():
            await sessions.commit(Session(name, "anna", context=context))
        assert await tta(kernel, "migrate", *contexts, "nobody") == 0
        said = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
        assert said == [
            "it got the world of the store", "the store got its world", "it has no world yet",
            "it has no world that can be kept", "there is no session of this name",
        ]  # fmt: skip
        assert await tta(kernel, "migrate", "s", "old") == 0
        assert capsys.readouterr().out.count("the store has its world already") == 2
        session = await sessions.get("s")
        brought = await worlds.get("old")
    assert session is not None
    assert brought is not None
    assert (session.context["world_version"], session.context["world"]["turn"]) == (2, 1)
    assert (brought.head.version, brought.head.owner, brought.world.weather) == (1, "anna", "rainy")


async def test_worlds_in_memory_are_the_running_process_s_alone(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(WorldPlugin, WorldMemory) as kernel:
        assert await tta(kernel, "show", "s") == 1
    assert "in memory" in capsys.readouterr().err


async def test_a_world_is_shown_over_http_by_version_and_sizes(worlds: Durable) -> None:
    async with running(WorldPlugin, HttpPlugin, services={WORLD: worlds}) as kernel:
        shown = await Caller(kernel.hooks).get("/worlds/s")
        with pytest.raises(HttpProblem, match="not-found"):
            await Caller(kernel.hooks).get("/worlds/%C3%A4")
    assert (shown["version"], shown["kept"], shown["relations"]["exit"]) == (2, [1, 2], 4)
    assert "\u0301" not in msgspec.json.encode(shown).decode()
