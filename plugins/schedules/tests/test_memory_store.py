"""The store in memory keeps the contract."""

from __future__ import annotations

import pytest

from tta_schedules.memory import MemoryScheduleStore
from tta_schedules.testing import Passing, ScheduleStoreContract


class TestMemoryStore(ScheduleStoreContract):
    @pytest.fixture
    def store(self) -> MemoryScheduleStore:
        return MemoryScheduleStore(lambda: 1000.0)

    @pytest.fixture
    def small(self) -> MemoryScheduleStore:
        return MemoryScheduleStore(lambda: 1000.0, most=2, history=3)

    @pytest.fixture
    def passing(self) -> Passing:
        now = [1000.0]

        async def sleep(seconds: float) -> None:
            now[0] += seconds

        return MemoryScheduleStore(lambda: now[0], ended=1.0), sleep
