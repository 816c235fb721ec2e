from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from tta_kernel import Kernel, PluginError
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running, wrong_figures
from tta_sessions import SessionsPlugin
from tta_sessions.hookspecs import forget
from tta_world import WORLD, WorldMemory, WorldPlugin, diff
from tta_world.testing import some_world
from tta_world_neo4j import Tls, WorldNeo4j
from tta_world_neo4j.config import Config
from tta_world_neo4j.store import Neo4jWorlds
from tta_world_neo4j.testing.server import config_for
from tta_world_neo4j.transactions import connect

pytestmark = pytest.mark.timeout(600)
NEW = diff(None, some_world())


def kernel(config: Config) -> Kernel:
    raw = msgspec.to_builtins(config)
    return running(SessionsPlugin, WorldPlugin, WorldMemory, {"world-neo4j": WorldNeo4j}, configs={"world-neo4j": raw})


async def test_the_plugin_keeps_worlds_counts_says_how_it_is_and_forgets(neo4j_url: str) -> None:
    async with kernel(config_for(neo4j_url)) as running_kernel:
        worlds = running_kernel.get(WORLD)
        assert (type(worlds), worlds.durable, worlds.remote) == (Neo4jWorlds, True, True)
        await worlds.apply("s", 0, NEW, "t1", owner="anna")
        await worlds.get("s")
        told = (await running_kernel.ask(health))["world-neo4j"]
        counted: Any = (await running_kernel.ask(snapshot))["world-neo4j"]
        assert await running_kernel.ask(forget, "anna") == {"world-neo4j": 1}
        assert await worlds.head("s") is None
    assert not isinstance(told, Exception)
    assert told.status in ("ok", "degraded")
    assert (counted["world.applied"], counted["world.reads_cached"]) == (1, 1)


async def test_its_figures_are_declared_and_given(neo4j_url: str) -> None:
    async with kernel(config_for(neo4j_url)) as running_kernel:
        assert await wrong_figures(running_kernel) == []


async def test_two_deployments_in_one_database_have_worlds_of_their_own(neo4j_url: str) -> None:
    one, other = config_for(neo4j_url), config_for(neo4j_url)
    async with connect(one) as first, connect(other) as second:
        here, there = Neo4jWorlds(first, one), Neo4jWorlds(second, other)
        await here.apply("s", 0, NEW, "t1", owner="anna")
        assert await there.head("s") is None
        assert await there.forget("anna") == 0
        assert await here.forget("anna") == 1


async def test_what_has_ended_is_swept_away(neo4j_url: str) -> None:
    now = [time.time()]
    config = config_for(neo4j_url, ttl=60.0)
    async with connect(config) as database:
        worlds = Neo4jWorlds(database, config, lambda: now[0])
        await worlds.apply("old", 0, NEW, "t1")
        now[0] += 50
        await worlds.apply("young", 0, NEW, "t1")
        now[0] += 11
        assert await worlds.sweep() == 1
        assert await worlds.sweep() == 0
        assert [bool(await worlds.head(session)) for session in ("old", "young")] == [False, True]


async def test_a_server_that_is_away_lets_it_wait() -> None:
    config = config_for("bolt://127.0.0.1:9", connect_timeout=0.5, retry_for=0.1, call_timeout=5.0)
    with pytest.raises((PluginError, BaseExceptionGroup)) as caught:
        async with kernel(config):
            raise AssertionError("it runs")
    assert caught.errisinstance(PluginError)
    assert "can't use Neo4j" in str(caught.value)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"colour": "blue"}, "config.colour"), ({"url": "http://127.0.0.1"}, "neo4j://HOST:PORT"),
    ({"url": "bolt+s://127.0.0.1"}, "under tls"), ({"url": "bolt://anna:secret@127.0.0.1"}, "beside it"),
    ({"tls": {"cert": "a.pem"}}, "name both"), ({"url": "neo4j://db.example.org"}, "could be read on its way"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "why"), WRONG)
def test_a_config_that_can_not_be_meant_is_refused_before_anything_starts(config: dict[str, Any], why: str) -> None:
    [problem] = problems(WorldNeo4j, config=config)
    assert why in problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    "config",
    [{}, {"url": "bolt://[::1]:7687"}, {"url": "bolt://localhost"}, {"url": "neo4j://db.example.org", "plain": True},
     {"url": "neo4j://db.example.org", "tls": {}}],
)  # fmt: skip
def test_what_nobody_can_read_or_somebody_has_allowed_is_taken(config: dict[str, Any]) -> None:
    assert problems(WorldNeo4j, config=config) == []


async def test_tls_is_the_driver_s() -> None:
    config = Config(url="neo4j://db.example.org", tls=Tls(verify=False))
    async with connect(config) as database:
        assert database.driver.encrypted
    async with connect(Config()) as database:
        assert not database.driver.encrypted
