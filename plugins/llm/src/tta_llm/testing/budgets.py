"""The contract of a store of budgets: subclass it, and give a ``budgets`` fixture, or a ``shared`` one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from tta_kernel.testing import Shared
from tta_llm.budgets import Account, Amount, Budgets

HOLD = 60.0


def account(name: str = "story:all:1", *, tokens: int | None = 100, money: int | None = None) -> Account:
    """Return an account that lasts for a while."""
    return Account(name=name, subject=name.split(":")[1], tokens=tokens, money=money, ends=time.time() + 600)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a store says so."""
    with anyio.fail_after(60):
        while not await is_so():  # noqa: ASYNC110  # there is nothing to be woken by
            await anyio.sleep(0.005)


async def _is_forgotten(budgets: Budgets, key: str) -> bool:
    return not (await budgets.reserve(key, [], Amount(), hold=0.02)).repeated


async def _is_uncharged(budgets: Budgets, it: Account) -> bool:
    return list(await budgets.read([it.name])) == [Amount()]


class BudgetsContract:
    """What every store of budgets does."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_what_is_reserved_is_charged_until_it_is_settled_for_what_it_was(self, budgets: Budgets) -> None:
        it = account(money=1000)
        assert not (await budgets.reserve("a", [it], Amount(80, 900), hold=HOLD)).over
        assert list(await budgets.read([it.name])) == [Amount(80, 900)]
        assert await budgets.settle("a", Amount(30, 100), keep=HOLD)
        assert list(await budgets.read([it.name])) == [Amount(30, 100)]
        assert not (await budgets.reserve("b", [it], Amount(70, 900), hold=HOLD)).over

    async def test_it_may_turn_out_to_be_more_than_was_reserved(self, budgets: Budgets) -> None:
        it = account()
        await budgets.reserve("a", [it], Amount(90), hold=HOLD)
        assert await budgets.settle("a", Amount(150), keep=HOLD)
        assert list(await budgets.read([it.name])) == [Amount(150)]
        assert (await budgets.reserve("b", [it], Amount(1), hold=HOLD)).over == it.name

    async def test_where_one_account_wont_bear_it_none_is_charged(self, budgets: Budgets) -> None:
        rich, poor = account("day:all:1", tokens=1000), account("user:ann:1", tokens=None, money=10)
        reserved = await budgets.reserve("a", [rich, poor], Amount(500, 11), hold=HOLD)
        assert reserved.over == poor.name
        assert list(await budgets.read([rich.name, poor.name])) == [Amount(), Amount()]
        assert not await budgets.settle("a", Amount(5), keep=HOLD)
        assert not (await budgets.reserve("a", [rich, poor], Amount(500, 10), hold=HOLD)).over

    async def test_a_repeat_of_a_key_isnt_charged_twice(self, budgets: Budgets) -> None:
        it = account()
        assert not (await budgets.reserve("a", [it], Amount(80), hold=HOLD)).repeated
        assert (await budgets.reserve("a", [it], Amount(80), hold=HOLD)).repeated
        assert await budgets.settle("a", Amount(60), keep=HOLD)
        assert (await budgets.reserve("a", [it], Amount(80), hold=HOLD)).repeated
        assert not await budgets.settle("a", Amount(99), keep=HOLD)
        assert list(await budgets.read([it.name])) == [Amount(60)]

    async def test_what_nobody_settles_stays_charged(self, budgets: Budgets) -> None:
        it = account()
        await budgets.reserve("a", [it], Amount(80), hold=0.02)
        await eventually(lambda: _is_forgotten(budgets, "a"))
        assert list(await budgets.read([it.name])) == [Amount(80)]

    async def test_a_key_that_isnt_kept_is_forgotten_with_its_settlement(self, budgets: Budgets) -> None:
        it = account()
        await budgets.reserve("a", [it], Amount(10), hold=HOLD)
        assert await budgets.settle("a", Amount(10), keep=0)
        assert not (await budgets.reserve("a", [it], Amount(10), hold=HOLD)).repeated
        assert list(await budgets.read([it.name])) == [Amount(20)]

    async def test_an_account_ends_with_its_window(self, budgets: Budgets) -> None:
        it = Account(name="story:all:1", tokens=100, ends=time.time() + 0.05)
        await budgets.reserve("a", [it], Amount(90), hold=HOLD)
        await eventually(lambda: _is_uncharged(budgets, it))
        # It was settled for nothing that is there any more.
        await budgets.settle("a", Amount(5), keep=HOLD)
        assert list(await budgets.read([it.name])) == [Amount()]

    async def test_a_person_is_forgotten(self, budgets: Budgets) -> None:
        ann, bob = account("user:ann:1"), account("user:bob:1")
        await budgets.reserve("a", [ann, bob], Amount(10), hold=HOLD)
        assert await budgets.forget("ann") == 1
        assert await budgets.forget("ann") == 0
        assert list(await budgets.read([ann.name, bob.name])) == [Amount(), Amount(10)]

    async def test_many_at_once_never_spend_more_than_there_is(self, budgets: Budgets) -> None:
        it = account(tokens=100)
        borne: list[int] = []

        async def reserve(number: int) -> None:
            if not (await budgets.reserve(f"k{number}", [it], Amount(7), hold=HOLD)).over:
                borne.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(reserve, number)
        assert len(borne) == 14
        assert list(await budgets.read([it.name])) == [Amount(98)]


class SharedBudgetsContract(BudgetsContract):
    """What a store does beyond that which several processes share."""

    async def test_another_process_sees_and_settles_what_one_has_reserved(self, shared: Shared[Budgets]) -> None:
        it = account()
        async with shared.again() as one, shared.again() as two:
            await one.reserve("a", [it], Amount(80), hold=HOLD)
            assert (await two.reserve("b", [it], Amount(30), hold=HOLD)).over == it.name
            assert await two.settle("a", Amount(20), keep=HOLD)
            assert list(await one.read([it.name])) == [Amount(20)]
