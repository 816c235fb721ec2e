"""What goes wrong at a real server: it is killed, a lock is held, two transactions lock each other, a caller leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import pytest

from tta_world import Applied, Edit, Patch, WorldError, diff
from tta_world.graph import relations
from tta_world.testing import some_world
from tta_world_neo4j.config import Config
from tta_world_neo4j.rows import graph_of, key_of
from tta_world_neo4j.store import Neo4jWorlds
from tta_world_neo4j.testing import neo4j_server
from tta_world_neo4j.testing.server import config_for
from tta_world_neo4j.transactions import Database, Transaction, connect

pytestmark = pytest.mark.timeout(900)
NEW = diff(None, some_world())
LINKS = (
    "MATCH (a:Entity {world: $key})-[r]->(b:Entity) RETURN a.key AS source, toLower(type(r)) AS kind, b.key AS target"
)


@pytest.fixture
def config(neo4j_url: str) -> Config:
    return config_for(neo4j_url)


@pytest.fixture
async def database(config: Config) -> AsyncIterator[Database]:
    async with connect(config) as database:
        yield database


@pytest.fixture
async def worlds(database: Database, config: Config) -> Neo4jWorlds:
    worlds = Neo4jWorlds(database, config)
    await worlds.prepare()
    return worlds


def step(number: int) -> Patch:
    """Change something in the world itself, in a node of it, and a relation."""
    at = "hall" if number % 2 else "roof"
    return Patch((Edit(("turn",), number), Edit(("things", "chest", "at"), at)))


async def is_whole(worlds: Neo4jWorlds, database: Database, config: Config) -> int:
    """Check that the world, its nodes, its relations and its last change belong together; return its version."""
    stored, [last] = await worlds.get("s"), (await worlds.history("s"))[-1:]
    assert stored is not None
    key = key_of(config.prefix, "s")

    async def links(tx: Transaction) -> Any:
        return await tx.run(LINKS, key=key)

    found = {(row["kind"], row["source"], row["target"]) for row in await database.read(links)}
    version = stored.head.version
    assert found == {tuple(link) for link in graph_of(key, stored.world).links}
    assert len(found) == len(relations(stored.world))
    assert (stored.world.turn, last.version, stored.head.turn) == (version - 1, version, f"t{version - 1}")
    return version


@pytest.mark.slow
async def test_a_server_that_is_killed_in_mid_change_has_made_it_whole_or_not_at_all() -> None:
    with neo4j_server() as server:
        config = server.config(retry_for=1.0, call_timeout=15.0, connect_timeout=10.0)
        async with connect(config) as database:
            worlds = Neo4jWorlds(database, config)
            await worlds.prepare()
            assert await worlds.apply("s", 0, NEW, "t0") == Applied(1)
            made = 1

            async def play() -> None:
                nonlocal made
                with suppress(WorldError):  # The server is gone.
                    while True:
                        made = (await worlds.apply("s", made, step(made), f"t{made}")).version
                        if made == 10:
                            reached.set()

            reached = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(play)
                await reached.wait()
                server.kill()
            server.start()
            found = await is_whole(worlds, database, config)
            # What was told as made is there, and at most the one more of whose end nobody heard.
            assert made <= found <= made + 1
            assert await worlds.apply("s", made, step(made), f"t{made}") == Applied(made + 1, again=found > made)
            assert await is_whole(worlds, database, config) == made + 1


async def test_a_change_that_waits_for_a_lock_ends_in_time_and_changes_nothing(
    neo4j_url: str, worlds: Neo4jWorlds, database: Database, config: Config
) -> None:
    limited = config_for(neo4j_url, prefix=config.prefix, query_timeout=0.5, retry_for=0.1)
    await worlds.apply("s", 0, NEW, "t0")

    async def hold(tx: Transaction) -> None:
        await tx.run("MATCH (w:World {key: $key}) SET w.lock = true RETURN w", key=key_of(config.prefix, "s"))
        async with connect(limited) as other:
            # The server ends it: we ourselves would wait for longer than a test may take.
            with pytest.raises(WorldError, match=r"Neo\.\w+\.Transaction"):
                await Neo4jWorlds(other, limited).apply("s", 1, step(1), "t1")
        raise KeyError  # Undo it.

    with pytest.raises(KeyError):
        await database.write(hold)
    assert await is_whole(worlds, database, config) == 1
    assert await worlds.apply("s", 1, step(1), "t1") == Applied(2)


async def test_of_two_transactions_that_wait_for_each_other_both_end_well(
    worlds: Neo4jWorlds, database: Database, config: Config
) -> None:
    for session in "ab":
        await worlds.apply(session, 0, NEW, "t0")
    first, second = (key_of(config.prefix, session) for session in "ab")
    have_one = {"first": anyio.Event(), "second": anyio.Event()}
    began: list[str] = []

    async def lock(name: str, keys: tuple[str, str], other: str) -> None:
        async def work(tx: Transaction) -> None:
            began.append(name)
            await tx.run("MATCH (w:World {key: $key}) SET w.lock = true", key=keys[0])
            have_one[name].set()
            await have_one[other].wait()
            await tx.run("MATCH (w:World {key: $key}) SET w.lock = true", key=keys[1])

        await database.write(work)

    async with anyio.create_task_group() as group:
        group.start_soon(lock, "first", (first, second), "second")
        group.start_soon(lock, "second", (second, first), "first")
    assert len(began) > 2


async def test_a_change_whose_caller_leaves_is_made_whole_or_not_at_all(
    worlds: Neo4jWorlds, database: Database, config: Config
) -> None:
    await worlds.apply("s", 0, NEW, "t0")
    for number in range(1, 6):
        with anyio.move_on_after(0.004 * number):
            await worlds.apply("s", number, step(number), f"t{number}")
        found = await is_whole(worlds, database, config)
        assert found in (number, number + 1)
        assert await worlds.apply("s", number, step(number), f"t{number}") == Applied(
            number + 1, again=found > number
        )  # fmt: skip


async def test_a_server_that_is_not_there_is_told_by_its_address_and_in_time() -> None:
    config = config_for("bolt://127.0.0.1:9", connect_timeout=1.0, retry_for=0.1, call_timeout=30.0)
    async with connect(config) as database:
        with pytest.raises(WorldError, match=r"Neo4j: ServiceUnavailable: .*127\.0\.0\.1"):
            await Neo4jWorlds(database, config).head("s")
