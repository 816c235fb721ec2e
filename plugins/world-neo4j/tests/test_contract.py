"""The contract of worlds, on a real Neo4j."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tta_world.testing import Passing, SharedWorldContract
from tta_world_neo4j.config import Config
from tta_world_neo4j.store import Neo4jWorlds
from tta_world_neo4j.testing.server import config_for
from tta_world_neo4j.transactions import connect

# The first test starts the server, which takes its time on a machine that does much else.
pytestmark = pytest.mark.timeout(600)
LIMITS: dict[str, Any] = {"max_size": 100_000, "versions": 4, "subscribers": 3}


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(config: Config, clock: Clock) -> AsyncIterator[Neo4jWorlds]:
    async with connect(config) as database:
        worlds = Neo4jWorlds(database, config, clock)
        await worlds.prepare()
        yield worlds


class TestNeo4jWorlds(SharedWorldContract):
    rounds = int(os.environ.get("TTA_TESTS_ROUNDS", "20"))

    @pytest.fixture
    def config(self, neo4j_url: str) -> Config:
        return config_for(neo4j_url, **LIMITS)

    @pytest.fixture
    async def worlds(self, config: Config) -> AsyncIterator[Neo4jWorlds]:
        async with opened(config, Clock()) as worlds:
            yield worlds

    @pytest.fixture
    async def other(self, config: Config) -> AsyncIterator[Neo4jWorlds]:
        async with opened(config, Clock()) as worlds:
            yield worlds

    @pytest.fixture
    async def ending(self, neo4j_url: str) -> AsyncIterator[Passing]:
        clock = Clock()

        async def pass_ttl() -> None:
            clock.now += 61

        async with opened(config_for(neo4j_url, ttl=60.0), clock) as worlds:
            yield worlds, pass_ttl

    @pytest.fixture
    async def cached(self, neo4j_url: str) -> AsyncIterator[Passing]:
        clock = Clock()

        async def pass_cache() -> None:
            clock.now += 31

        async with opened(config_for(neo4j_url), clock) as worlds:
            yield worlds, pass_cache
