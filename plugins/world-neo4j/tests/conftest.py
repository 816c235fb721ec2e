from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tta_world_neo4j.testing import shared_neo4j


@pytest.fixture
def anyio_backend() -> str:
    """The driver knows asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def neo4j_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """Return the address of a server that all workers of a run share."""
    base: Path = tmp_path_factory.getbasetemp()
    with shared_neo4j(base if worker_id == "master" else base.parent) as url:
        yield url
