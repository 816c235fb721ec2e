from __future__ import annotations

import pytest

from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_kernel.hookspecs import figures, snapshot
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_sessions import SessionsPlugin
from tta_sessions.hookspecs import forget
from tta_world import WORLD, WorldMemory, WorldPlugin, diff
from tta_world.memory import MemoryWorlds
from tta_world.testing import Passing, WorldContract, some_world

NEW = diff(None, some_world())


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestMemoryWorlds(WorldContract):
    @pytest.fixture
    def worlds(self) -> MemoryWorlds:
        return MemoryWorlds(Clock(), ttl=60.0, limit=100, max_size=100_000, versions=4, subscribers=3)

    @pytest.fixture
    def ending(self) -> Passing:
        clock = Clock()

        async def pass_ttl() -> None:
            clock.now += 61

        return MemoryWorlds(clock, ttl=60.0, limit=10), pass_ttl

    @pytest.fixture
    def cached(self) -> Passing:
        clock = Clock()

        async def pass_cache() -> None:
            clock.now += 31

        return MemoryWorlds(clock, ttl=600.0, limit=10), pass_cache


async def test_the_world_that_rested_longest_makes_room() -> None:
    worlds = MemoryWorlds(Clock(), ttl=60.0, limit=2)
    for session in "abc":
        await worlds.apply(session, 0, NEW, "t")
    assert [bool(await worlds.head(session)) for session in "abc"] == [False, True, True]


async def test_the_plugin_keeps_worlds_as_its_config_says_counts_and_forgets() -> None:
    config = {"versions": 1, "cache": "1h", "limit": 5}
    settings = KernelSettings(plugins={"world-memory": PluginSettings(config=config)})
    plugins = {"sessions": SessionsPlugin, "world": WorldPlugin, "world-memory": WorldMemory}
    async with Kernel(settings, plugins=plugins) as kernel:
        worlds = kernel.get(WORLD)
        await worlds.apply("s", 0, NEW, "t1", owner="anna")
        await worlds.apply("s", 1, diff(some_world(), some_world(turn=1)), "t2", owner="anna")
        await worlds.apply("s", 0, NEW, "t3", owner="anna")
        assert [each.version for each in await worlds.history("s")] == [2]
        await worlds.get("s")
        counted = (await kernel.ask(snapshot))["world-memory"]
        assert await kernel.ask(forget, "anna") == {"world-memory": 1}
        assert await worlds.head("s") is None
        [declared] = [each for name, each in kernel.hooks.collect(figures).items() if name == "world-memory"]
    assert not isinstance(counted, Exception)
    assert not isinstance(declared, Exception)
    assert {figure.name for figure in declared} == {*counted}
    assert (counted["world.applied"], counted["world.conflicts"], counted["world.kept"]) == (2, 1, 1)


@pytest.mark.parametrize("name", ["ttl", "cache"])
@pytest.mark.parametrize("seconds", NO_DURATIONS)
def test_a_time_that_is_no_time_is_a_mistake(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=name):
        MemoryWorlds(Clock(), **{"ttl": 60.0, "limit": 1, name: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["limit", "max_size", "versions", "subscribers"])
@pytest.mark.parametrize("value", NO_COUNTS)
def test_a_limit_that_is_no_number_is_a_mistake(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        MemoryWorlds(Clock(), **{"ttl": 60.0, "limit": 1, name: value})  # type: ignore[arg-type]
