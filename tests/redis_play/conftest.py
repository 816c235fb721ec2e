"""A Redis for the tests of a module, and a deployment on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tta_redis.testing import RedisServer, redis_server

from .deployment import Deployment


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as found:
        yield found


@pytest.fixture
def deployment(root: Path, tmp_path: Path, server: RedisServer) -> Iterator[Deployment]:
    found = Deployment(root, tmp_path, server)
    try:
        yield found
    finally:
        found.close()
