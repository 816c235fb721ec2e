"""The store in memory keeps the contract."""

from __future__ import annotations

import pytest

from tta_breakers import Record, Swap
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.testing import BreakerStoreContract


class TestMemory(BreakerStoreContract):
    @pytest.fixture
    def store(self) -> MemoryBreakerStore:
        return MemoryBreakerStore()


@pytest.mark.anyio
async def test_beyond_its_limit_the_one_that_changed_first_goes() -> None:
    store = MemoryBreakerStore(limit=2)
    for name in "abc":
        await store.swap([Swap(name, "", Record(at=1.0, stamp=name))])
    await store.swap([Swap("b", "b", Record(at=2.0, stamp="B")), Swap("d", "", Record(at=1.0, stamp="d"))])
    assert {*(await store.read()).records} == {"b", "d"}
