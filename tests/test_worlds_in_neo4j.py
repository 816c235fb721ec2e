"""A story whose world lies in Neo4j: what one process has changed is what another goes on from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tta_agents import AgentPlugin, AgentSpec, StepContext
from tta_kernel import Kernel, NoConfig
from tta_orchestration import ORCHESTRATION
from tta_orchestration.testing import telling
from tta_program import LayeredSettings
from tta_safety import Verdict
from tta_world import WORLD, World
from tta_world.store import same
from tta_world.testing import some_world
from tta_world_neo4j.config import Config
from tta_world_neo4j.store import Neo4jWorlds
from tta_world_neo4j.testing import shared_neo4j
from tta_world_neo4j.testing.server import config_for
from tta_world_neo4j.transactions import connect

pytestmark = pytest.mark.timeout(600)
LONG = 60.0


class Scene(msgspec.Struct, frozen=True):
    text: str
    world: World | None = None


class Told(msgspec.Struct, frozen=True):
    text: str
    world: World


class Mover(AgentPlugin[NoConfig]):
    """Puts the coin where the player says."""

    spec = AgentSpec("teller", "tells", Scene, Told, timeout=LONG)

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        world = request.world or some_world()
        coin = msgspec.structs.replace(world.things["coin"], at=request.text)
        after = msgspec.structs.replace(world, things={**world.things, "coin": coin}, turn=world.turn + 1)
        await ctx.emit("It is there.")
        return Told("It is there.", after)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def neo4j_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    base: Path = tmp_path_factory.getbasetemp()
    with shared_neo4j(base if worker_id == "master" else base.parent) as url:
        yield url


def safe(*_: object) -> Verdict:
    return Verdict("checked", "safe")


@asynccontextmanager
async def process(config: Config) -> AsyncIterator[Kernel]:
    """Run what a process would: sessions of its own, in memory, and the database that all share."""
    async with connect(config) as database:
        worlds = Neo4jWorlds(database, config)
        await worlds.prepare()
        # A machine that is starved is none whose parts are away.
        patient = LayeredSettings(hook_timeouts={"check_text": LONG})
        async with telling(
            safe,
            teller=cast(Any, Mover),
            services={WORLD: worlds},
            settings=patient,
            world_timeout=LONG,
        ) as kernel:
            yield kernel


async def turn(kernel: Kernel, text: str) -> tuple[World, int]:
    response = await kernel.get(ORCHESTRATION).process_user_input(text, "s", user="anna", seed=3)
    assert response.outcome == "story", response.failure
    return msgspec.convert(response.updated_context["world"], World), response.updated_context["world_version"]


async def test_a_world_that_one_process_has_changed_is_seen_by_another(neo4j_url: str) -> None:
    config = config_for(neo4j_url)
    async with process(config) as one, process(config) as other:
        assert [(await turn(one, place))[1] for place in ("roof", "island")] == [1, 2]
        stored = await other.get(WORLD).get("s")
        assert stored is not None
        assert stored.world.things["coin"].at == "island"
        world, version = await turn(other, "cellar")
        assert (world.turn, version) == (3, 3)
        world, version = await turn(one, "hall")
        assert (world.turn, version) == (4, 4)
        stored = await one.get(WORLD).get("s")
        assert stored is not None
        assert same(stored.world, world)
        assert [*await other.get(WORLD).path("s", "player", "coin", ["at"])] == ["player", "hall", "coin"]
