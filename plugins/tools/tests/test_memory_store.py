"""The store in memory keeps the contract."""

from __future__ import annotations

import pytest

from tta_tools import MemoryToolStore
from tta_tools.testing import Passing, ToolStoreContract
from tta_tools.testing.store import AT


class TestMemoryStore(ToolStoreContract):
    @pytest.fixture
    def store(self) -> MemoryToolStore:
        return MemoryToolStore(lambda: AT)

    @pytest.fixture
    def small(self) -> MemoryToolStore:
        return MemoryToolStore(lambda: AT, most=2, size=1000)

    @pytest.fixture
    def passing(self) -> Passing:
        now = [AT]

        async def sleep(seconds: float) -> None:
            now[0] += seconds

        return MemoryToolStore(lambda: now[0]), sleep
