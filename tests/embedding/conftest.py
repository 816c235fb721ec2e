"""A host of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Gate, Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Gate() as gate, Host(tmp_path, gate) as host:
        yield host
