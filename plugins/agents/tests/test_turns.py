"""Who comes when, where several want the same key."""

from __future__ import annotations

import anyio
import pytest

from tta_agents.turns import Turns


async def take(turns: Turns, name: str, order: list[str], hold: anyio.Event | None = None) -> None:
    await turns.take("key")
    order.append(name)
    try:
        if hold is not None:
            await hold.wait()
    finally:
        turns.pass_on("key")


async def test_those_who_want_one_key_come_one_after_the_other_in_their_order() -> None:
    turns, order, hold = Turns(), list[str](), anyio.Event()
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(take, turns, str(number), order, hold)
            await anyio.wait_all_tasks_blocked()
        assert order == ["0"]
        hold.set()
    assert order == list("01234")


async def test_another_key_does_not_wait() -> None:
    turns = Turns()
    await turns.take("key")
    with anyio.fail_after(5):
        await turns.take("other")


async def test_one_that_is_cancelled_while_it_waits_lets_the_others_have_their_turn() -> None:
    turns, order, hold, gone = Turns(), list[str](), anyio.Event(), anyio.CancelScope()

    async def give_up() -> None:
        with gone:
            await take(turns, "gone", order)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, turns, "first", order, hold)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(give_up)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take, turns, "last", order)
        await anyio.wait_all_tasks_blocked()
        gone.cancel()
        await anyio.wait_all_tasks_blocked()
        hold.set()
    assert order == ["first", "last"]


@pytest.mark.parametrize("first", ["turn", "cancellation"])
async def test_one_that_is_cancelled_as_its_turn_comes_passes_it_on(first: str) -> None:
    turns, order, gone = Turns(), list[str](), anyio.CancelScope()

    async def give_up() -> None:
        with gone:
            await take(turns, "gone", order)

    await turns.take("key")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take, turns, "last", order)
        await anyio.wait_all_tasks_blocked()
        if first == "turn":
            turns.pass_on("key")
            gone.cancel()
        else:
            gone.cancel()
            turns.pass_on("key")
    assert order[-1] == "last"


async def test_taking_a_key_that_is_free_lets_others_run_and_can_be_cancelled() -> None:
    ran: list[str] = []

    async def run() -> None:
        ran.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for number in range(5):  # Who runs first of two that can is nobody's promise.
            await Turns().take(number)
        assert ran == ["other"]
    turns = Turns()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await turns.take("key")
        pytest.fail("it was not cancelled")
    with anyio.fail_after(5):
        await turns.take("key")
