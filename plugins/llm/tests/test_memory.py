"""Budgets in memory keep the contract, and have an end."""

from __future__ import annotations

import time

import pytest

from tta_llm import Amount, Budgets, BudgetsError
from tta_llm.memory import MemoryBudgets
from tta_llm.testing import BudgetsContract
from tta_llm.testing.budgets import account


class TestInMemory(BudgetsContract):
    @pytest.fixture
    def budgets(self) -> Budgets:
        return MemoryBudgets(time.time)


async def test_a_full_store_refuses_rather_than_forgets() -> None:
    budgets = MemoryBudgets(time.time, most=2)
    await budgets.reserve("a", [account("a:all:1")], Amount(1), hold=60)
    await budgets.reserve("b", [account("b:all:1")], Amount(1), hold=60)
    with pytest.raises(BudgetsError, match="which is the most"):
        await budgets.reserve("c", [account("a:all:1")], Amount(1), hold=60)
    assert list(await budgets.read(["a:all:1", "b:all:1"])) == [Amount(1), Amount(1)]
