"""The store in memory keeps the contract."""

from __future__ import annotations

import pytest

from tta_crisis import MemoryCrisisStore
from tta_crisis.testing import CrisisStoreContract, Passing
from tta_crisis.testing.store import AT


class TestMemoryStore(CrisisStoreContract):
    @pytest.fixture
    def store(self) -> MemoryCrisisStore:
        return MemoryCrisisStore(lambda: AT)

    @pytest.fixture
    def small(self) -> MemoryCrisisStore:
        return MemoryCrisisStore(lambda: AT, most=2)

    @pytest.fixture
    def passing(self) -> Passing:
        now = [AT]

        async def sleep(seconds: float) -> None:
            now[0] += seconds

        return MemoryCrisisStore(lambda: now[0], retention=1.0, packets=1.0), sleep
